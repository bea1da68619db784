"""What a run says by itself: in its documents, on the terminal, in its report and in its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ftc, MakeProject


def _document(root: Path, name: str) -> Any:
    (file,) = (root / "runs").glob(f"*/*/{name}")
    return json.loads(file.read_text()) if name.endswith("json") else file.read_text()


@pytest.mark.slow
def test_a_model_that_learned_nothing_says_so_everywhere(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=12)
    # Rows of which few are of another class, so that nothing but the largest class is learned in twelve steps.
    header, *rows = (root / "rows.csv").read_text().splitlines()
    rows = [row if number % 5 == 0 else f"{row.rpartition(',')[0]},money" for number, row in enumerate(rows)]
    (root / "rows.csv").write_text("\n".join([header, *rows]) + "\n")
    applied = ftc("apply", "recipe.yaml", "--yes", "--set", "data.split.test=0.5")
    assert applied.code == 0, applied.text
    found = _document(root, "record.json")["findings"]
    assert {"FTC245", "FTC246"} <= {one["code"] for one in found}
    missing = next(one["text"] for one in found if one["code"] == "FTC245")
    assert " classes are never predicted: `" in missing
    baselines = {one["kind"]: one["metrics"] for one in _document(root, "eval.json")["baselines"]}
    assert baselines.keys() == {"majority", "tfidf", "nearest"}
    assert baselines["majority"]["accuracy"] == _document(root, "eval.json")["tuned"]["metrics"]["accuracy"]
    shown = ftc("show", _document(root, "record.json")["id"])
    page, card = _document(root, "report.html"), _document(root, "README.md")
    for words in ("FTC245", "TF-IDF + logistic regression"):
        assert words in applied.text
        assert words in shown.out
        assert words in page
        assert words in card
    assert "randomly initialized" in shown.out
    audited = ftc("audit", _document(root, "record.json")["id"])
    assert audited.code == 0, audited.text


@pytest.mark.sample(1)
@pytest.mark.parametrize("task", ["multi_label", "choice"])
def test_other_ways_to_sort_rows_have_baselines_too(project: MakeProject, ftc: Ftc, task: str) -> None:
    root = project(task, steps=1)
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    result = _document(root, "eval.json")
    tfidf = next(one for one in result["baselines"] if one["kind"] == "tfidf")
    assert tfidf["metrics"].keys() == result["tuned"]["metrics"].keys() == tfidf["gains"].keys()
    assert max(map(float, tfidf["metrics"].values())) > 0.5, "the topics of these rows are in their words"


def test_baselines_can_be_left_out_or_chosen(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1, more="")
    planned = json.loads(ftc("plan", "recipe.yaml", "--json", "--set", "eval.simple_baselines=[tfidf]").out)
    assert planned["plan"]["settings"]["eval"]["simple_baselines"] == ["tfidf"]
    planned = json.loads(ftc("plan", "recipe.yaml", "--json", "--set", "eval.simple_baselines=none").out)
    assert planned["plan"]["settings"]["eval"]["simple_baselines"] == []
    assert root.exists()


@pytest.mark.slow
def test_kinds_of_names_that_are_never_found(project: MakeProject, ftc: Ftc) -> None:
    root = project("token_classification", steps=1)
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    found = {one["code"]: one["text"] for one in _document(root, "record.json")["findings"]}
    assert "B-" not in found.get("FTC245", "")
    assert _document(root, "eval.json")["baselines"] == []
