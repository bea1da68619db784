"""A folder or a pattern as one source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.streams import SPLITS, Split
from tests.diagnostics.worlds import write_plain_model

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: "PATH"}, split: {validation: 0.2, test: 0.2}}
model: {base: ./model}
strategy: {kind: lora, rank: 2}
train: {batch_size: 2}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    (root / "shards" / "deep").mkdir(parents=True)
    write_plain_model(root / "model")
    for name in ("b", "a", "deep/c", ".hidden"):
        rows = [{"text": f"{word} number {n} of {name}", "label": word} for n in range(10) for word in ("cold", "warm")]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "shards" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def planned(path: str) -> api.Planned:
    Path("recipe.yaml").write_text(RECIPE.replace("PATH", path), encoding="utf-8")
    return api.plan("recipe.yaml", offline=True)


def refused(path: str) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        planned(path)
    (found,) = caught.value.diagnostics
    assert found.help
    assert found.span is not None
    return found


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("shards/*.jsonl", ["shards/a.jsonl", "shards/b.jsonl"]),
        ("shards", ["shards/a.jsonl", "shards/b.jsonl"]),
        ("shards/**/*.jsonl", ["shards/a.jsonl", "shards/b.jsonl", "shards/deep/c.jsonl"]),
        ("shards/[b-z].jsonl", ["shards/b.jsonl"]),
    ],
)
def test_every_file_is_in_the_lock_and_rows_name_theirs(project: Path, path: str, names: list[str]) -> None:
    found = planned(path)
    locked = found.plan.lock.data.sources["rows"]
    assert list(locked.files) == names
    assert locked.rows == 20 * len(names)
    assert locked.file.size == sum(facts.size for facts in locked.files.values())
    shown = api.tokens(found, rows=("shards/b.jsonl:2",), split=part_of(found, "shards/b.jsonl:2"))
    assert shown.rows[0].place == "shards/b.jsonl:2"


def part_of(found: api.Planned, row: str) -> Split:
    for part in SPLITS:
        try:
            api.tokens(found, rows=(row,), split=part)
        except Refusal:
            continue
        return part
    raise AssertionError(row)


def test_a_new_or_another_file_is_another_lock(project: Path) -> None:
    before = planned("shards").plan.lock.data.sources["rows"]
    (project / "shards" / "a.jsonl").rename(project / "shards" / "c.jsonl")
    after = planned("shards").plan.lock.data.sources["rows"]
    assert list(after.files) == ["shards/b.jsonl", "shards/c.jsonl"]
    assert before.file.sha256 != after.file.sha256


def test_a_pattern_without_files_several_kinds_and_ways_out(project: Path, tmp_path: Path) -> None:
    assert refused("shards/*.csv").code == "FTC398"
    (project / "shards" / "notes.md").write_text("# Notes\n", encoding="utf-8")
    found = refused("shards/*.md")
    assert (found.code, "each line is a row" in found.help[0]) == ("FTC398", True)
    (project / "shards" / "x.csv").write_text("text,label\na,b\n", encoding="utf-8")
    found = refused("shards")
    assert (found.code, found.summary) == ("FTC398", "`shards` matches files of several kinds: .csv, .jsonl")
    assert found.help == ("name one kind, such as `shards/*.csv`",)
    assert refused("../*.jsonl").code == "FTC300"
    assert refused("shards/*/../../../*.jsonl").code == "FTC300"
    found = refused("shards/a**.jsonl")
    assert (found.code, "`**` alone" in found.help[0]) == ("FTC300", True)
    (tmp_path / "outside.parquet").write_bytes(b"PAR1")
    (project / "shards" / "y.parquet").symlink_to(tmp_path / "outside.parquet")
    assert refused("shards/*.parquet").code == "FTC300"


def warned(path: str) -> list[Diagnostic]:
    return [one for one in planned(path).diagnostics if one.code == "FTC491"]


def test_what_a_folder_has_and_is_not_read_is_named(project: Path) -> None:
    shards = project / "shards"
    (shards / "notes.md").write_text("# Notes\n", encoding="utf-8")
    (found,) = warned("shards")
    assert found.summary == "of `shards` 2 files are read and 2 are not"
    assert found.notes == ("not read: shards/notes.md, shards/deep/c.jsonl",)
    assert "`shards/**/*.jsonl`" in found.help[0]
    assert "each line is a row" in found.help[1]
    assert "`shards/*.jsonl`" in found.help[2]
    assert [one.notes for one in warned("shards/*")] == [("not read: shards/notes.md",)]
    assert not warned("shards/*.jsonl")
    assert not warned("shards/**/*.jsonl")
    started = api.init("other.yaml", data=Path("shards"), base="./model")
    assert [one.code for one in started.warnings] == ["FTC491"]


def test_what_lies_beside_rows_as_usual_is_not_reported(project: Path) -> None:
    shards = project / "shards"
    for name in ("README.md", "LICENSE", "cat.png", "images/dog.jpg"):
        (shards / name).parent.mkdir(exist_ok=True)
        (shards / name).write_text("x", encoding="utf-8")
    (shards / "deep" / "c.jsonl").rename(shards / "deep" / "test.jsonl")
    recipe = RECIPE.replace("PATH", "shards").replace("test: 0.2", "test: {path: shards/deep/test.jsonl}")
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    assert "FTC491" not in [one.code for one in api.plan("recipe.yaml", offline=True).diagnostics]


def test_rows_in_folders_inside_alone_lead_to_a_pattern(project: Path) -> None:
    for name in ("a", "b"):
        (project / "shards" / f"{name}.jsonl").unlink()
    assert refused("shards").help == ("folders inside are read by a pattern: `shards/**/*.jsonl`",)
