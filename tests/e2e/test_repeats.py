"""Cross-validation and learning curves: sweeps that measure a recipe instead of choosing its values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from ftc import api
from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.exit_codes import ExitCode
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import write_rows


@pytest.fixture
def recipe(project: MakeProject) -> Path:
    root = project(steps=2)
    write_rows(root / "rows.csv", "classification", 96)
    return root


def shown(ftc: Ftc, *words: str) -> Any:
    return json.loads(ftc("sweep", "show", *words, "--json").out)


@pytest.mark.slow
def test_a_recipe_on_its_folds(recipe: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = ftc("sweep", "plan", "recipe.yaml", "--folds", "3")
    assert planned.code == ExitCode.FINE, planned.text
    assert "each on 3 folds" in planned.text
    from ftc.sweep import trials

    trained = trials._trained

    def killed(*words: Any, **settings: Any) -> Any:
        if len(list(recipe.glob("runs/*/*"))) == 2:  # as a kill does, without a finding
            raise KeyboardInterrupt
        return trained(*words, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "_trained", killed)
        assert ftc("sweep", "apply", "recipe.yaml", "--folds", "3", "--yes", "--quiet").code == ExitCode.INTERRUPTED
    done = ftc("sweep", "apply", "recipe.yaml", "--folds", "3", "--yes", "--quiet")
    assert done.code == ExitCode.FINE, done.text
    found = shown(ftc, "recipe.folds.sweep.yaml")
    (mean,) = found["means"]
    values = [float(one) for one in mean["values"]]
    assert float(mean["mean"]) == pytest.approx(sum(values) / 3)
    assert "corrected resampled t" in mean["method"]
    assert found["repeats"] == [f"data.split.fold={number} of 3" for number in (1, 2, 3)]
    assert len(list(recipe.glob("runs/*/*"))) == 3, "the trial's runs are the recipe's own"
    assert not [one for one in read_ledger(recipe) if isinstance(one, NotedEvaluation)], "no test row was read"
    runs = [api.find_run(one) for one in found["trials"][0]["runs"]]
    assert len({run.plan.data["test"].stream_digest for run in runs}) == 1
    assert len({run.plan.data["validation"].stream_digest for run in runs}) == 3
    assert ftc("sweep", "audit", "recipe.yaml", "--folds", "3").code == ExitCode.FINE
    page = ftc("sweep", "show", "recipe.folds.sweep.yaml", "--format", "html", "-o", "folds.html")
    assert page.code == ExitCode.FINE, page.text
    assert "corrected resampled t" in (recipe / "folds.html").read_text(encoding="utf-8")
    assert "FTC588" in ftc("sweep", "pick", "recipe.folds.sweep.yaml").text
    assert "FTC583" in ftc("sweep", "show", "recipe.yaml", "--folds", "4").text


@pytest.mark.slow
def test_would_more_rows_help(recipe: Path, ftc: Ftc) -> None:
    done = ftc("sweep", "apply", "recipe.yaml", "--curve", "data", "--yes", "--quiet")
    assert done.code in (ExitCode.FINE, ExitCode.INCONCLUSIVE), done.text
    assert "curve: data" in (recipe / "recipe.curve.sweep.yaml").read_text(encoding="utf-8")
    found = shown(ftc, "recipe.yaml", "--curve", "data")
    *fewer, every = found["means"]
    assert [one["rows"] for one in fewer] == sorted(one["rows"] for one in fewer)
    assert every["trial"] is None
    assert fewer[-1]["rows"] * 2 == every["rows"]
    gained = float(every["mean"]) - float(fewer[-1]["mean"])
    assert float(found["verdict"]["change"]) == pytest.approx(gained, abs=1e-6)
    assert found["verdict"]["is_better"] == (done.code == ExitCode.FINE)
    assert f"from {fewer[-1]['rows']} to {every['rows']} rows" in done.text
    assert ftc("sweep", "audit", "recipe.curve.sweep.yaml").code == ExitCode.FINE
    assert ftc("sweep", "show", "recipe.yaml", "--curve", "data", "--format", "html", "-o", "c.html").code == 0
    assert "Learning curve" in (recipe / "c.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_search_on_folds_and_seeds(recipe: Path, ftc: Ftc) -> None:
    text = "ftc_sweep: 1\nrecipe: recipe.yaml\nspace: {train: {learning_rate: [1e-5, 1e-2]}}\nsearch: {kind: grid}\n"
    (recipe / "both.sweep.yaml").write_text(text + "folds: 2\nseeds: [1, 2]\n", encoding="utf-8")
    assert ftc("sweep", "apply", "both.sweep.yaml", "--yes", "--quiet").code in (0, ExitCode.INCONCLUSIVE)
    found = shown(ftc, "both.sweep.yaml")
    assert [len(one["runs"]) for one in found["trials"]] == [4, 4]
    assert len(found["means"]) == 3
    assert found["verdict"]["method"] == "mean difference over 4 trainings on 2 folds, corrected resampled t"
    assert ftc("sweep", "audit", "both.sweep.yaml").code == ExitCode.FINE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write `space`, `folds: 5` or `seeds: [17, 18, 19]`"),
        ("folds: 1", "greater than or equal to 2"),
        ("folds: 3\nspace: {data: {split: {fold: [1 of 3, 2 of 3]}}}", "a fold is not searched"),
        ("curve: data\nspace: {train: {epochs: [1, 2]}}", "a curve is `space: {data: {max_rows: [...]}}`"),
        ("folds: 3\nspace: {train: {epochs: [1, 2]}}\nprune: {kind: median}", "not with `folds`"),
    ],
)
def test_mistakes_have_a_fix(recipe: Path, ftc: Ftc, text: str, words: str) -> None:
    (recipe / "odd.sweep.yaml").write_text(f"ftc_sweep: 1\nrecipe: recipe.yaml\n{text}\n", encoding="utf-8")
    answer = ftc("sweep", "plan", "odd.sweep.yaml")
    assert answer.code != ExitCode.FINE
    assert "FTC581" in answer.text
    assert words in answer.text


def test_too_few_rows_for_a_curve(recipe: Path, ftc: Ftc) -> None:
    write_rows(recipe / "rows.csv", "classification", 12)
    answer = ftc("sweep", "plan", "recipe.yaml", "--curve", "data")
    assert "FTC585" in answer.text
    assert "too few for a learning curve" in answer.text
    assert not list(recipe.glob("*.sweep.yaml"))
