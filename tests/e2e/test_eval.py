"""A finished run measured once more: the same figures on its own rows, others on other rows, each look noted."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.storage import wordnet
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents
from tests.support.wordnets import write_wordnet


@pytest.mark.slow
def test_a_finished_run_is_measured_again(project: MakeProject, ftc: Ftc, tmp_path: Path) -> None:
    root = project(steps=1)
    recipe = root / "recipe.yaml"
    gates = "samples: 2, slices: [length, label], gates: [loss < 0.0001, accuracy gap on label < 1]"
    recipe.write_text(recipe.read_text().replace("samples: 2", gates))
    assert ftc("eval", "abc").code != 0
    assert ftc("apply", "recipe.yaml", "--yes").code == 7
    (folder,) = (one.parent for one in (root / "runs").glob("*/*/record.json"))
    before = {path: text for path, text in contents(root).items() if "ledger" not in str(path)}
    again = ftc("eval", folder.name, "--format", "json")
    assert again.code == 7, again.err
    found = json.loads(again.out)
    first = json.loads((folder / "eval.json").read_text())
    for key in ("gates", "slices", "gains"):
        assert found["evaluation"][key] == first[key]
    assert found["evaluation"]["tuned"]["metrics"] == first["tuned"]["metrics"]
    assert {path: text for path, text in contents(root).items() if "ledger" not in str(path)} == before
    rows = next(path for path in root.glob("*") if path.suffix in (".csv", ".jsonl"))
    other = tmp_path / f"other{rows.suffix}"
    other.write_text("".join(rows.read_text().splitlines(keepends=True)[:9]))
    elsewhere = ftc("eval", folder.name, "--data", other)
    assert elsewhere.code == 7, elsewhere.err
    assert "< 0.0001 failed" in elsewhere.text
    assert "of 8 test rows are also training rows" in elsewhere.text
    absent = ftc("eval", folder.name, "--data", "nowhere.csv")
    assert "the working folder" in absent.err
    purposes = [entry.purpose for entry in read_ledger(root) if isinstance(entry, NotedEvaluation)]
    looks = ["ftc eval base", "ftc eval tuned"]
    assert purposes[2:] == [*looks, *(f"{look} on {other}" for look in looks)]
    harness = ftc("eval", folder.name, "--harness", "arc_easy")
    assert harness.code == 1
    assert ("[FTC650]" if find_spec("lm_eval") is None else "[FTC685]") in harness.err
    for words in (("--tasks", "x"), ("--limit", "3"), ("--harness", "a", "--data", "b"), ("--harness", ",")):
        assert ftc("eval", folder.name, *words).code == 64
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "status": "interrupted"}))
    refused = ftc("eval", folder.name)
    assert refused.code == 1
    assert "[FTC685]" in refused.err


@pytest.mark.slow
def test_meteor_is_measured_compared_and_gated_as_other_metrics_of_answers(
    project: MakeProject, ftc: Ftc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nltk")
    data = write_wordnet(tmp_path / "data" / "corpora" / "wordnet")
    monkeypatch.setattr(wordnet, "wordnet_places", lambda: (data,))
    root = project("summarization", steps=1)
    recipe = root / "recipe.yaml"
    asked = "samples: 2, metrics: [meteor], slices: [length], gates: [meteor >= 0.99]"
    recipe.write_text(recipe.read_text().replace("samples: 2", asked))
    done = ftc("apply", "recipe.yaml", "--yes")
    assert done.code == 7, done.err
    (folder,) = (one.parent for one in (root / "runs").glob("*/*/record.json"))
    found = json.loads((folder / "eval.json").read_text())
    assert found["gains"].keys() == {"meteor"}
    assert [gate["passed"] for gate in found["gates"]] == [False]
    assert "METEOR" in (folder / "report.html").read_text()
    compared = json.loads(ftc("compare", folder.name, folder.name, "--format", "json").out)
    assert [one["metric"] for one in compared["metrics"]] == ["meteor"]
    assert "WordNet's files" in ftc("audit", folder.name).out
    (data / "noun.exc").write_text("", encoding="ascii")
    again = ftc("eval", folder.name)
    assert (again.code, "[FTC636]" in again.err) == (6, True), again.err
    compared = json.loads(ftc("compare", folder.name, folder.name, "--format", "json").out)
    assert compared["not_compared"] == ["meteor: WordNet as the first run used it is not on this machine"]
