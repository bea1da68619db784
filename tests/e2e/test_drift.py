"""New rows beside those of a finished run: what differs is named, and nothing else; what can't be known is said."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, finished_project, in_a_copy
from tests.support.projects import PROJECTS, write_rows

_FORMS = [name for name in PROJECTS if name not in ("classification", "reinforcement")]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A finished run on 800 rows, beside 100 that were kept back."""
    folder = tmp_path_factory.mktemp("drift")
    rows = _rows(write_rows(folder / "all.csv", "classification", 900))
    kept = random.Random(3).sample(rows, 100)

    def prepare(root: Path) -> None:
        _write(root / "rows.csv", [row for row in rows if row not in kept])
        _write(root / "new.csv", kept)

    return finished_project(folder, models, 1, prepare=prepare)


def _write(file: Path, rows: list[list[str]], columns: tuple[str, ...] = ("text", "label")) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *(row[: len(columns)] for row in rows)])
    return file


def _rows(file: Path) -> list[list[str]]:
    return list(csv.reader(file.read_text(encoding="utf-8").splitlines()))[1:]


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def _report(ftc: Ftc, *words: str) -> tuple[int, dict[str, Any]]:
    run = api.runs(Path())[0].record.id
    answer = ftc("drift", run, "--data", *words, "--json")
    return answer.code, json.loads(answer.out)


def test_rows_of_the_same_kind_have_not_drifted(project: Path, ftc: Ftc) -> None:
    code, found = _report(ftc, "new.csv", "--level", "0.05")
    assert (code, found["verdict"]) == (0, "no drift"), found
    assert (found["schema"], found["reference"], found["new_rows"]) == ("ftc.data-drift/1", "validation", 100)
    assert 0.5 < float(found["minimum_detectable_auc"]) < 0.75
    assert {"inputs", "states", "novel rows", "length", "predicted classes", "confidence", "accuracy"} <= {
        one["name"] for one in found["tests"]
    }
    assert found["metrics"]["accuracy"]["rows"] == 100
    assert len(found["novel"]) == 10
    assert all(one["place"].startswith("new.csv:") for one in found["novel"])
    run = api.runs(project)[0]
    again = api.data_drift(run, "new.csv", level=0.05).report
    assert again.to_json() == found, "the same rows give the same report"


def test_other_rows_have_drifted_and_the_page_says_so(project: Path, ftc: Ftc) -> None:
    rows = [[" ".join(word[::-1] for word in text.split())] for text, _ in _rows(project / "new.csv")]
    rows[3] = ["write to ada@example.org about the match"]
    _write(project / "other.csv", rows, ("text",))
    run = api.runs(project)[0].record.id
    answer = ftc("drift", run, "--data", "other.csv", "-q")
    assert answer.code == 7, answer.text
    assert "the new rows differ in" in answer.text
    assert "novel rows" in answer.text
    assert "ada@example.org" not in answer.text
    assert "accuracy" not in answer.text, "nobody labeled them"
    page = ftc("drift", run, "--data", "other.csv", "--format", "html", "-o", "drift.html", "-q")
    html = (project / "drift.html").read_text(encoding="utf-8")
    assert (page.code, "<title>Drift of tiny</title>" in html, "<script" in html) == (7, True, False)
    assert "other.csv:" in html
    assert "ada@" not in html
    again = ftc("drift", run, "--data", "new.csv", "--format", "html", "-o", "drift.html", "-q")
    assert again.code == 0, "ftc replaces its own page"


@pytest.mark.slow
def test_damage_labels_and_repeats(project: Path, ftc: Ftc) -> None:
    rows = _rows(project / "new.csv")
    for number in range(30):
        rows[number][0] = "" if number % 2 else "caf\u00c3\u00a9 " + rows[number][0]
    rows[40][1] = ""
    _write(project / "broken.csv", rows)
    code, found = _report(ftc, "broken.csv")
    drifted = {one["name"] for one in found["tests"] if one["drifted"]}
    assert code == 7
    assert {"rows with encoding errors", "rows with empty or unusable values"} <= drifted, found["tests"]
    assert found["new_rows"] == 85
    assert found["metrics"]["accuracy"]["rows"] == 84, "one row has no label"
    rows = _rows(project / "new.csv")
    _write(project / "labels.csv", [[rows[0][0], "weather"], *rows[1:]])
    _, found = _report(ftc, "labels.csv")
    assert found["metrics"] == {}
    assert any("labels that the run does not have: `weather`" in note for note in found["notes"])
    _write(project / "copies.csv", rows[:25] * 4)
    code, found = _report(ftc, "copies.csv")
    assert [one["name"] for one in found["tests"] if one["drifted"]] == ["repeated rows"]
    assert any(note.startswith("75 rows repeat another one") for note in found["notes"])


def test_too_few_rows(project: Path, ftc: Ftc) -> None:
    rows = _rows(project / "new.csv")
    _write(project / "few.csv", rows[:4])
    code, found = _report(ftc, "few.csv")
    assert (code, found["verdict"], found["minimum_detectable_auc"], found["novel"]) == (8, "too few rows", None, [])
    _write(project / "some.csv", rows[:12])
    code, found = _report(ftc, "some.csv")
    assert (code, found["verdict"]) == (8, "too few rows")
    assert float(found["minimum_detectable_auc"]) > 0.75
    _, found = _report(ftc, "new.csv", "--rows", "50")
    assert (found["rows"], found["new_rows"], found["reference_rows"]) == (100, 50, 50)
    assert found["notes"][0].startswith("50 of 100 rows are compared")


def test_mistakes_are_reported(project: Path, ftc: Ftc, tmp_path: Path) -> None:
    run = api.runs(project)[0].record.id
    _write(project / "empty.csv", [["", "sport"], [" ", "film"]])
    assert "[FTC758]" in ftc("drift", run, "--data", "empty.csv").err
    _write(project / "named.csv", [["a", "b"]], ("Body", "label"))
    assert "[FTC688]" in ftc("drift", run, "--data", "named.csv").err
    wrong = ftc("drift", run, "--data", "new.csv", "--level", "2")
    assert (wrong.code, "is not a share between 0 and 1" in wrong.err) == (64, True)
    assert ftc("drift", run).code == 64
    shutil.rmtree(tmp_path / "copy" / "cache" / "streams")
    (project / "rows.csv").write_text("text,label\na,film\n", encoding="utf-8")
    _kept(project).unlink()
    gone = ftc("drift", run, "--data", "new.csv")
    assert (gone.code, "[FTC757]" in gone.err) == (1, True), gone.text
    assert "`rows.csv` has changed since" in gone.text
    assert "`drift.safetensors` is gone" in gone.text
    assert "restore these files as they were" in gone.text


def _kept(project: Path) -> Path:
    return api.runs(project)[0].folder / "drift.safetensors"


@pytest.mark.slow
def test_what_a_run_keeps_stands_for_its_rows(project: Path, ftc: Ftc, tmp_path: Path) -> None:
    """The training data may be gone: what the model made of its validation rows is by digest in the record."""
    run = api.runs(project)[0]
    file = _kept(project)
    assert file.name in run.record.outputs
    held = file.read_bytes()
    assert not [text for text, _ in _rows(project / "rows.csv") if text.encode() in held], "it holds no text"
    whole = api.data_drift(run, "new.csv").report
    assert not any("again" in note for note in whole.notes)
    file.unlink()
    again = api.data_drift(run, "new.csv").report
    assert again.notes == ("the run's own rows are read again: `drift.safetensors` is gone",)
    kinds = {one.name: one for one in whole.tests}
    assert kinds.keys() - {one.name for one in again.tests} == {"states"}
    for one in again.tests:
        assert (one.value, one.p, one.detail) == (kinds[one.name].value, kinds[one.name].p, kinds[one.name].detail)

    file.write_bytes(held)
    shutil.rmtree(tmp_path / "copy" / "cache" / "streams")
    (project / "rows.csv").unlink()
    alone = api.data_drift(run, "new.csv").report
    assert alone.verdict == "no drift"
    assert kinds.keys() - {one.name for one in alone.tests} == {"inputs"}
    assert any(note.startswith("words are not compared: ") for note in alone.notes)
    assert {one.name: one.p for one in alone.tests}["predicted classes"] == kinds["predicted classes"].p
    rows = [[" ".join(word[::-1] for word in text.split())] for text, _ in _rows(project / "new.csv")]
    _write(project / "other.csv", rows, ("text",))
    code, found = _report(ftc, "other.csv")
    said = {one["name"]: one["drifted"] for one in found["tests"]}
    assert (code, said["states"], len(found["novel"])) == (7, True, 10), found["tests"]
    file.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    refused = ftc("drift", run.record.id, "--data", "new.csv")
    assert "`drift.safetensors` is not the file that the record names" in refused.text
    assert "[FTC757]" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("name", _FORMS)
def test_every_task(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is compared of answers is what the task's head has, and rows drawn alike have not drifted."""
    from tests.support.projects import make_project

    root = make_project(tmp_path / "project", models, name, steps=1)
    file, _, _ = PROJECTS[name]
    write_rows(root / file, name, 200)
    monkeypatch.chdir(root)
    run = api.apply(Path("recipe.yaml"))
    new = write_rows(root / f"new{Path(file).suffix}", name, 40)
    found = api.data_drift(run, new.name).report
    assert found.new_rows > 0
    assert found.metrics.keys() == (run.evaluation.tuned.metrics.keys() if run.evaluation else set())
    makes_blocks = name in ("pretraining", "masked_language_modeling", "span_corruption")
    assert "inputs" in {one.name for one in found.tests} or makes_blocks, "few rows make a block"
    answers = any(one.aspect == "answers" for one in found.tests) or bool(found.classes)
    assert answers != any(note.startswith("answers are not compared") for note in found.notes), found
    kept = run.folder / "drift.safetensors"
    assert kept.name in run.record.outputs
    assert not any("read again" in note for note in found.notes), found.notes
    if makes_blocks:
        return
    shutil.rmtree(streams_folder(run.plan.stream_key))
    alone = api.data_drift(run, new.name).report
    names = {one.name for one in alone.tests}
    assert names & {"states", "vectors"}
    assert names >= {one.name for one in found.tests if one.aspect in ("damage", "metrics")}
    assert alone.reference_rows == found.reference_rows


@pytest.mark.slow
def test_a_run_without_validation_rows(project: Path, models: Path) -> None:
    shutil.rmtree(project / "runs")
    recipe = (project / "recipe.yaml").read_text(encoding="utf-8")
    (project / "recipe.yaml").write_text(
        recipe.replace("  max_length: 32\n", "  max_length: 32\n  split: {validation: 0, test: 0.2}\n").replace(
            ", evaluate_every: 1", ""
        ),
        encoding="utf-8",
    )
    run = api.apply(project / "recipe.yaml")
    found = api.data_drift(run, project / "new.csv").report
    assert found.reference == "train"
    assert any("has no validation rows" in note for note in found.notes)
    assert not [one for one in found.tests if one.aspect == "answers"]


def test_an_unfinished_run_is_refused(project: Path) -> None:
    record = next(project.glob("runs/*/*/record.json"))
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace('"finished"', '"interrupted"'), encoding="utf-8")
    with pytest.raises(Refusal, match="FTC685"):
        api.data_drift(api.runs(project)[0], "new.csv")
