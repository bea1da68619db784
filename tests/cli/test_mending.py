"""`ftc validate --fix`, `ftc fmt` and overrides on real files, in this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ftc.cli.main import main
from ftc.compiler.rules.check import check_recipe
from tests.cli.conftest import World

Capture = pytest.CaptureFixture[str]

RECIPE = """\
# Spam or not.
ftc: 1
name: sms
train: {batch-size: 8}   # small
task: {kind: classification}
data: {source: {path: rows.csv}}
model: {base: ./model}
strategy: {kind: lora}
"""
MENDED = RECIPE.replace("batch-size", "batch_size")


@pytest.fixture
def recipe(world: World) -> Path:
    file = world.folder / "r.yaml"
    file.write_text(RECIPE, encoding="utf-8", newline="\n")
    return file


def test_fix_mends_and_tells(recipe: Path, capsys: Capture) -> None:
    recipe.chmod(0o600)
    assert main(["validate", "--fix", "r.yaml"]) == 0
    assert capsys.readouterr() == ("r.yaml is valid.\n", "r.yaml: rename the key to `batch_size`\n")
    assert recipe.read_text(encoding="utf-8") == MENDED
    assert recipe.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in recipe.parent.iterdir()] == ["r.yaml"]


def test_fix_follows_a_link(recipe: Path) -> None:
    link = recipe.with_name("link.yaml")
    link.symlink_to(recipe)
    assert main(["validate", "--fix", "link.yaml"]) == 0
    assert link.is_symlink()
    assert recipe.read_text(encoding="utf-8") == MENDED


def test_diff_shows_and_writes_nothing(recipe: Path, capsys: Capture) -> None:
    assert main(["validate", "--diff", "r.yaml"]) == 3
    out, err = capsys.readouterr()
    assert "-train: {batch-size: 8}   # small\n+train: {batch_size: 8}   # small\n" in out
    assert err.endswith("1 error. Nothing was loaded, nothing was written.\n")
    assert recipe.read_text(encoding="utf-8") == RECIPE
    assert main(["validate", "--diff", "--json", "r.yaml"]) == 64


def test_validate_tells_that_it_could_mend(recipe: Path, capsys: Capture) -> None:
    assert main(["validate", "r.yaml"]) == 3
    assert capsys.readouterr().err.endswith("nothing was written. `--fix` fixes 1 of 1.\n")


def test_validate_with_overrides(recipe: Path, capsys: Capture) -> None:
    recipe.write_text(MENDED, encoding="utf-8")
    assert main(["validate", "r.yaml", "--set", "train.epochs=0"]) == 3
    assert " --> --set:1:20\n  |\n1 | --set train.epochs=0\n" in capsys.readouterr().err
    (recipe.parent / "top.yaml").write_text("train: {epochs: 0}\n", encoding="utf-8")
    assert main(["validate", "r.yaml", "--set-file", "top.yaml"]) == 3
    assert " --> top.yaml:1:17\n" in capsys.readouterr().err
    assert main(["validate", "r.yaml", "--set-file", "top.yaml", "--set", "train.epochs=1"]) == 0
    assert main(["validate", "r.yaml", "--set-file", "none.yaml"]) == 1


def test_a_recipe_that_stands_alone_loads_nothing_for_layers(recipe: Path) -> None:
    code = (
        "import sys; from ftc.cli.main import main; main(['validate', 'r.yaml']); "
        "print([name for name in sys.modules if name in "
        "('ftc.compiler.recipes.layers', 'ftc.compiler.recipes.edits', 'ftc.spec.language.overlay', "
        "'ftc.spec.language.layout', 'difflib')])"
    )
    recipe.write_text(MENDED, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=recipe.parent)
    assert done.stdout == "r.yaml is valid.\n[]\n"


def test_a_saved_plan_takes_no_overrides(world: World, capsys: Capture) -> None:
    assert main(["apply", "bbc.plan.json", "--set", "train.epochs=1"]) == 64
    assert "a saved plan is run as it is" in capsys.readouterr().err
    assert world.applied == []


def test_apply_goes_on_with_the_same_overrides(world: World, capsys: Capture) -> None:
    world.outcome = "interrupted"
    main(["apply", "r.yaml", "--yes", "--set", "name=a b", "--set-file", "top.yaml"])
    assert "`ftc apply r.yaml --set 'name=a b' --set-file top.yaml` goes on" in capsys.readouterr().err


def test_fmt(recipe: Path, capsys: Capture) -> None:
    recipe.write_text(MENDED, encoding="utf-8")
    assert main(["fmt", "--check", "r.yaml"]) == 2
    assert capsys.readouterr() == ("", "r.yaml: would change\n")
    assert main(["fmt", "--diff", "r.yaml"]) == 2
    out, _ = capsys.readouterr()
    assert "-train: {batch_size: 8}   # small\n" in out
    assert recipe.read_text(encoding="utf-8") == MENDED
    assert main(["fmt", "r.yaml"]) == 0
    assert capsys.readouterr() == ("", "r.yaml: changed\n")
    assert recipe.read_text(encoding="utf-8").endswith("strategy: {kind: lora}\ntrain: {batch_size: 8}   # small\n")
    assert main(["fmt", "--check", "r.yaml"]) == 0
    assert capsys.readouterr() == ("", "")


def test_fmt_needs_a_text_that_can_be_read(recipe: Path, capsys: Capture) -> None:
    tidy = recipe.with_name("tidy.yaml")
    tidy.write_text("name: a\nftc: 1\n", encoding="utf-8")
    assert main(["fmt", "r.yaml", "tidy.yaml"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "error[FTC010]" in err
    assert recipe.read_text(encoding="utf-8") == RECIPE
    assert tidy.read_text(encoding="utf-8") == "ftc: 1\nname: a\n", "the other file is laid out"


USUAL_MISTAKES = """\
ftc: 1
name: tiny
task: classification
data: {source: {path: rows.jsonl}}
model: {base: model}
strategy: {kind: lora, r: 8, lora_alpha: 16, also_train: norm}
train: {lr: 1e-4, epochs: '2', optimizer: adamw, packing: yes, schedule: cosin}
eval: {metrics: [acuracy, macro_f1]}
"""
WITHOUT_THEM = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: rows.jsonl}}
model: {base: model}
strategy: {kind: lora, rank: 8, alpha: 16, modules_to_save: [norm]}
train: {learning_rate: 1e-4, epochs: 2, optimizer: {kind: adamw}, packing: true, schedule: {kind: cosine}}
eval: {metrics: [accuracy, macro_f1]}
"""


def test_usual_mistakes_come_at_once_and_are_all_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Path("recipe.yaml")
    recipe.write_text(USUAL_MISTAKES, encoding="utf-8")
    assert main(["validate", "recipe.yaml"]) == 3
    error = capsys.readouterr().err
    assert "did you mean `accuracy`?" in error, "a rule between fields is checked beside mistakes in single ones"
    assert error.endswith("`--fix` fixes 11 of 11.\n")
    assert main(["validate", "--fix", "recipe.yaml"]) == 0
    assert recipe.read_text(encoding="utf-8") == WITHOUT_THEM


def test_old_names_of_keys_mean_the_same_and_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Path("recipe.yaml")
    old = WITHOUT_THEM.replace("modules_to_save", "also_train").replace("rank: 8", "rank: 8, b_rate_ratio: 4")
    recipe.write_text(old, encoding="utf-8")
    before = check_recipe(old.encode(), "recipe.yaml").recipe
    assert main(["validate", "recipe.yaml"]) == 0
    assert capsys.readouterr().err.count("FTC106") >= 2
    assert main(["validate", "--fix", "recipe.yaml"]) == 0
    text = recipe.read_text(encoding="utf-8")
    assert "modules_to_save: [norm]" in text
    assert "loraplus_lr_ratio: 4" in text
    after = check_recipe(text.encode(), "recipe.yaml")
    assert not after.diagnostics
    assert after.recipe == before, "the names changed, and no value"
    assert after.recipe is not None
    assert "also_train" in after.recipe.to_json()["strategy"], "plans and locks keep theirs"
    assert type(after.recipe).model_validate_json(after.recipe.to_text()) == after.recipe
