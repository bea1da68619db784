"""Each recipe of a guide plans on its synthetic rows, and one of them trains."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ftc
from ftc.spec.diagnostics import Severity
from tests.support.scripts import fetch_script

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "recipes" / "guides"
RECIPES = sorted(path.stem for path in GUIDES.glob("*.yaml"))
ENCODERS = {"legal", "medical", "moderation", "finance"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the recipes as a user has it, with their rows, and two tiny models."""
    pytest.importorskip("torch")
    from tests.support.projects import make_model

    root = tmp_path_factory.mktemp("guides")
    for path in GUIDES.glob("*.yaml"):
        shutil.copy(path, root)
    fetch_script("guides", "rows").main(root / "data")
    for kind in ("encoder", "decoder"):
        make_model(root / kind, kind, length=512)
    (root / ".ftc").mkdir()
    return root


def test_there_is_a_page_for_each_recipe() -> None:
    assert sorted(path.stem for path in (ROOT / "docs" / "guides").glob("*.md")) == RECIPES
    assert len(RECIPES) == 8


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "docs" / "site" / "zensical.toml").read_text(encoding="utf-8")
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages
    assert [page for page in sorted(pages) if f'"{page}"' not in menu] == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_a_guide_plans(project: Path, name: str) -> None:
    model = "encoder" if name in ENCODERS else "decoder"
    planned = ftc.plan(project / f"{name}.yaml", overrides=[f"model.base={model}", "budget.device=cpu"])
    assert [one.summary for one in planned.diagnostics if one.severity is Severity.ERROR] == []


@pytest.mark.slow
def test_a_recipe_of_a_guide_trains_and_its_model_predicts(project: Path) -> None:
    short = ["model.base=encoder", "budget.device=cpu", "train.max_steps=1", "eval.gates={}"]
    short += ["eval.simple_baselines=none", "eval.samples=0"]
    run = ftc.apply(ftc.plan(project / "legal.yaml", overrides=short))
    assert run.evaluation is not None
    assert "macro_f1" in run.evaluation.tuned.metrics
    (answer,) = ftc.load(run).predict(["The supplier pays each invoice within 30 days."])
    assert answer.prediction in {"termination", "liability", "confidentiality", "payment"}
