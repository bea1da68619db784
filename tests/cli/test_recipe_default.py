"""A verb without a recipe takes the folder's: `recipe.yaml`, or the only one there is; one without a run the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.cli.main import main
from tests.support.recipes import recipe_text
from tests.support.tracked_runs import make_run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder beside YAML that is no recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    (tmp_path / "docker-compose.yaml").write_text("services: {}\n", encoding="utf-8")
    (tmp_path / "folder.yaml").mkdir()
    return tmp_path


@pytest.mark.parametrize("verb", ["validate", "fmt", "plan", "tokens", "lock", "apply"])
def test_a_folder_without_a_recipe(folder: Path, capsys: Capture, verb: str) -> None:
    assert main([verb]) == 64
    err = capsys.readouterr().err
    assert "error[FTC603]: this folder has no recipe" in err
    assert "ftc init" in err


def test_the_only_recipe(folder: Path, capsys: Capture) -> None:
    (folder / "tickets.yaml").write_text(recipe_text(), encoding="utf-8")
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "tickets.yaml is valid.\n"


def test_a_part_that_another_recipe_extends_is_none(folder: Path, capsys: Capture) -> None:
    (folder / "base.yaml").write_text(recipe_text(name=None), encoding="utf-8")
    (folder / "tickets.yaml").write_text("extends: base.yaml\nftc: 1\nname: tickets\n", encoding="utf-8")
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "tickets.yaml is valid.\n"


def test_several_recipes_are_named(folder: Path, capsys: Capture) -> None:
    for name in ("chat.yaml", "tickets.yml"):
        (folder / name).write_text(recipe_text(), encoding="utf-8")
    assert main(["validate"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert "error[FTC604]: this folder has 2 recipes: `chat.yaml`, `tickets.yml`" in err
    (folder / "recipe.yaml").write_text(recipe_text(), encoding="utf-8")
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "recipe.yaml is valid.\n"


def test_the_newest_run(folder: Path, capsys: Capture) -> None:
    (folder / ".ftc").mkdir()
    run = make_run(folder)
    assert main(["show", "--json"]) == 0
    assert run.record.id in capsys.readouterr().out
    main(["audit"])  # of a stand-in, whose predictions can't be read
    assert f"of run `{run.record.id}`" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["show", "audit", "chat", "drift --data new.csv", "run inspect", "run profile"])
def test_a_project_without_a_run(folder: Path, capsys: Capture, words: str) -> None:
    assert main(words.split()) == 1
    err = capsys.readouterr().err
    assert "error[FTC520]: there are no runs in this project" in err
    assert "ftc apply" in err
