"""A row keeps the number that it has in its file, in whatever part it ends up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.documents.streams import SPLITS, open_stream
from ftc.spec.storage.paths import streams_folder
from tests.diagnostics.worlds import write_plain_model, write_plain_rows

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: rows.csv}DATA}
model: {base: ./model}
strategy: {kind: full}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".ftc").mkdir(parents=True)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)
    write_plain_model(folder / "model")
    write_plain_rows(folder / "rows.csv")
    return folder


def numbers(project: Path, data: str = "") -> dict[str, list[int]]:
    """The `row` column of each split's stream."""
    (project / "recipe.yaml").write_text(RECIPE.replace("DATA", data), encoding="utf-8")
    plan = api.plan("recipe.yaml", offline=True).plan
    folder = streams_folder(plan.stream_key)
    return {split: open_stream(folder / f"{split}.arrow").rows.tolist() for split in SPLITS if split in plan.data}


def test_the_parts_share_the_numbers_of_one_file(project: Path) -> None:
    found = numbers(project)
    assert sorted(number for part in found.values() for number in part) == list(range(20))
    assert found["test"] != list(range(len(found["test"])))
    plan = api.plan("recipe.yaml", offline=True).plan
    stream = open_stream(streams_folder(plan.stream_key) / "test.arrow")
    rows = (project / "rows.csv").read_text(encoding="utf-8").splitlines()[1:]
    labels = [plan.settings.text.labels[label] for label in stream.labels]
    assert [rows[number].split(",")[1] for number in stream.rows] == labels


def test_a_file_of_its_own_counts_for_itself(project: Path) -> None:
    (project / "test.csv").write_text("text,label\none,cold\ntwo,warm\n", encoding="utf-8")
    found = numbers(project, ", split: {test: {path: test.csv}, validation: 0}")
    assert found == {"train": list(range(20)), "test": [0, 1]}


def test_rows_that_are_left_out_are_named_by_their_line(project: Path) -> None:
    long = {"text": "warm " * 40, "label": "warm"}
    lines = [line.split(",") for line in (project / "rows.csv").read_text(encoding="utf-8").splitlines()[1:]]
    rows = [{"text": text, "label": label} for text, label in lines]
    rows.insert(7, long)
    (project / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    text = RECIPE.replace("rows.csv", "rows.jsonl").replace("DATA", ", max_length: 16, overflow: drop")
    (project / "recipe.yaml").write_text(text, encoding="utf-8")
    planned = api.plan("recipe.yaml", offline=True)
    (found,) = [one for one in planned.diagnostics if one.code == "FTC338"]
    assert found.summary == "1 of 21 rows are left out"
    assert found.span is not None
    assert found.notes[1].startswith("rows.jsonl:8: ")
    dropped = [row for split in planned.plan.data.values() for row in split.first_dropped]
    assert [row.row for row in dropped] == [7]
