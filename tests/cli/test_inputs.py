"""Many files, folders and standard input for the verbs that look at text."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from ftc.cli.main import main
from ftc.cli.recipe_files import recipes_in
from tests.support.recipes import recipe_text

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with recipes, a base of theirs, and YAML that is no recipe; the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    for name in (".ftc", "recipes/more", "recipes/.hidden", "recipes/runs/tiny"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("recipes/one.yaml", "recipes/more/two.yml", "recipes/.hidden/no.yaml", "recipes/runs/tiny/no.yaml"):
        (tmp_path / name).write_text(recipe_text(), encoding="utf-8")
    (tmp_path / "recipes/base.yaml").write_text(recipe_text(name=None), encoding="utf-8")
    (tmp_path / "recipes/more/three.yaml").write_text("extends: ../base.yaml  # all else\nftc: 1\nname: three\n")
    (tmp_path / "recipes/other.yaml").write_text("ports: [8080]\n", encoding="utf-8")
    return tmp_path


def say(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a text on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


def test_a_folder_stands_for_the_recipes_below_it(folder: Path) -> None:
    found = [Path(name).as_posix() for name in recipes_in(["recipes", "x.yaml", "-"])]
    assert found == ["recipes/more/three.yaml", "recipes/more/two.yml", "recipes/one.yaml", "x.yaml", "-"]


def test_every_recipe_of_a_folder_is_checked(folder: Path, capsys: Capture) -> None:
    assert main(["validate", "recipes"]) == 0
    assert capsys.readouterr().out.count("is valid.") == 3
    (folder / "recipes/base.yaml").write_text(recipe_text(name=None, train={"epochs": 0}), encoding="utf-8")
    assert main(["validate", "recipes"]) == 3
    out, err = capsys.readouterr()
    assert "recipes/base.yaml:" in err
    assert out.count("is valid.") == 2
    assert "three" not in out


def test_a_folder_without_recipes_is_no_success(folder: Path, capsys: Capture) -> None:
    (folder / "empty").mkdir()
    assert main(["validate", "empty"]) == 1
    assert "no recipe below empty" in capsys.readouterr().err


def test_a_file_that_is_not_there_stops_none_of_the_others(folder: Path, capsys: Capture) -> None:
    assert main(["validate", "nothing.yaml", "recipes/one.yaml"]) == 1
    out, err = capsys.readouterr()
    assert "recipes/one.yaml is valid." in out
    assert "error[FTC107]: there is no recipe `nothing.yaml`" in err


def test_standard_input_is_checked(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    say(recipe_text(), monkeypatch)
    assert main(["validate", "-", "--set", "train.epochs=1"]) == 0
    assert capsys.readouterr().out == "standard input is valid.\n"
    say("extends: recipes/base.yaml\nname: four\ntrian: {}\n", monkeypatch)
    assert main(["validate", "-"]) == 3
    assert "<stdin>:3:1" in capsys.readouterr().err


def test_standard_input_is_laid_out(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    say("name: four   # a comment\nftc: 1\n", monkeypatch)
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == "ftc: 1\nname: four   # a comment\n"
    say("name: four\nftc: 1\n", monkeypatch)
    assert main(["fmt", "--check", "-"]) == 2


@pytest.mark.parametrize("option", ["--fix", "--diff"])
def test_standard_input_is_not_mended(option: str, capsys: Capture) -> None:
    assert main(["validate", option, "-"]) == 64
    assert "needs a file" in capsys.readouterr().err
