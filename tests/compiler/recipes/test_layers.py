"""Recipes that build on others, from the files to the plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftc.verbs.apply
from ftc import api
from ftc.compiler.rules.check import Checked, check_recipe
from ftc.spec.diagnostics import Refusal
from tests.diagnostics.worlds import write_plain_model, write_plain_rows

BASE = (
    "ftc: 1\nname: tiny\ntask: {kind: classification}\ndata:\n  source: {path: rows.csv}\n"
    "model: {base: ./model}\nstrategy: {kind: lora, rank: 4}\ntrain: {epochs: 2, seed: 1}\n"
)
MAIN = "extends: base.yaml\nname: other\ntrain:\n  epochs: 3\n"
FLAT = BASE.replace("name: tiny", "name: other").replace("epochs: 2", "epochs: 3")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files of a project, `__` standing for `/`, and gives the recipe."""
    (tmp_path / ".ftc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))

    def files(**texts: str) -> Path:
        for name, text in texts.items():
            file = tmp_path / (name.replace("__", "/") + ".yaml")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        return Path("recipe.yaml")

    return files


def check(file: Path, *overrides: str | Path) -> Checked:
    return check_recipe(file.read_bytes(), file.as_posix(), path=file, overrides=overrides)


def recipe_of(checked: Checked) -> dict[str, Any]:
    assert checked.recipe is not None, checked.diagnostics
    return checked.recipe.to_json()


def finding(checked: Checked) -> tuple[str, str, int]:
    (found,) = checked.diagnostics
    assert found.span is not None
    assert found.span.file in checked.sources, "a snippet can be shown"
    return found.code, found.span.file, found.span.line


def test_a_recipe_says_what_its_base_does_not(write: Write) -> None:
    layered = recipe_of(check(write(recipe=MAIN, base=BASE)))
    assert layered == recipe_of(check(write(recipe=FLAT)))
    assert "extends" not in layered


def test_a_chain_of_eight_is_read_and_a_ninth_is_not(write: Write) -> None:
    chain = {f"r{number}": f"extends: r{number + 1}.yaml\n" for number in range(2, 8)}
    recipe = write(recipe="extends: r2.yaml\n", **chain, r8=BASE)
    assert recipe_of(check(recipe))["name"] == "tiny"
    write(r8="extends: r9.yaml\n", r9=BASE)
    assert finding(check(recipe)) == ("FTC023", "r8.yaml", 1)


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ({"recipe": "extends: recipe.yaml\n"}, ("FTC022", "recipe.yaml", 1)),
        ({"recipe": MAIN, "base": "\nextends: recipe.yaml\n"}, ("FTC022", "base.yaml", 2)),
        ({"recipe": "extends: bass.yaml\n", "base": BASE}, ("FTC021", "recipe.yaml", 1)),
        ({"recipe": "extends: .\n"}, ("FTC021", "recipe.yaml", 1)),
        ({"recipe": "extends: ../base.yaml\n"}, ("FTC300", "recipe.yaml", 1)),
        ({"recipe": "extends: /etc/passwd\n"}, ("FTC300", "recipe.yaml", 1)),
        ({"recipe": "extends: [base.yaml]\n"}, ("FTC102", "recipe.yaml", 1)),
        ({"recipe": MAIN, "base": "name: a\nname: b\n"}, ("FTC003", "base.yaml", 2)),
        ({"recipe": MAIN, "base": BASE.replace("seed", "sede")}, ("FTC104", "base.yaml", 8)),
        ({"recipe": MAIN + "  sede: 1\n", "base": BASE}, ("FTC104", "recipe.yaml", 5)),
        ({"recipe": "ftc: 1\n" + MAIN, "base": BASE.replace("ftc: 1", "ftc: 2")}, ("FTC105", "base.yaml", 1)),
    ],
)
def test_findings_point_into_the_file_that_says_it(
    write: Write, texts: dict[str, str], place: tuple[str, str, int]
) -> None:
    assert finding(check(write(**texts))) == place


def test_a_name_that_the_base_uses_may_still_be_meant(write: Write) -> None:
    (found,) = check(write(recipe=MAIN + "  sede: 1\n", base=BASE)).diagnostics
    assert found.label == "did you mean `seed`?"


def test_files_and_flags_lie_on_top_in_their_order(write: Write) -> None:
    recipe = write(recipe=MAIN, base=BASE, top="train: {epochs: 5, seed: 5}\n")
    assert recipe_of(check(recipe, "train.epochs=4"))["train"]["epochs"] == "4.0"
    assert recipe_of(check(recipe, "train.epochs=4", Path("top.yaml")))["train"]["epochs"] == "5.0"
    checked = check(recipe, Path("top.yaml"), "train.epochs=4", "name=2024")
    assert (recipe_of(checked)["train"]["epochs"], recipe_of(checked)["train"]["seed"]) == ("4.0", 5)
    assert recipe_of(checked)["name"] == "2024"
    again = check(recipe, *checked.overrides)
    assert recipe_of(again) == recipe_of(checked)
    assert again.overrides == checked.overrides


def test_faults_of_flags_and_files_are_found_in_one_pass(write: Write) -> None:
    checked = check(write(recipe="extends: none.yaml\n"), "epochs", "train.seed=&a 1")
    assert sorted(found.code for found in checked.diagnostics) == ["FTC004", "FTC021", "FTC024"]


def test_a_flag_is_where_its_value_is_wrong(write: Write) -> None:
    assert finding(check(write(recipe=BASE), "name=ok", "train.epochs=0")) == ("FTC103", "--set", 2)


def test_what_lies_on_top_extends_nothing(write: Write) -> None:
    recipe = write(recipe=BASE, top=MAIN)
    assert finding(check(recipe, Path("top.yaml"))) == ("FTC025", "top.yaml", 1)
    with pytest.raises(FileNotFoundError):
        check(recipe, Path("none.yaml"))


def test_a_text_that_lies_nowhere_extends_nothing() -> None:
    assert finding(check_recipe(MAIN.encode(), "buffer")) == ("FTC025", "buffer", 1)


def test_paths_of_a_base_are_meant_from_its_own_folder(write: Write, tmp_path: Path) -> None:
    recipe = write(recipe="extends: shared/base.yaml\n", shared__base=BASE)
    said = recipe_of(check(recipe))
    assert said["data"]["source"]["path"] == "shared/rows.csv"
    assert said["model"]["base"] == "./shared/model"
    hub = BASE.replace("./model", "owner/name")
    assert recipe_of(check(write(shared__base=hub)))["model"]["base"] == "owner/name"
    (tmp_path / "shared" / "owner").mkdir()
    assert recipe_of(check(recipe))["model"]["base"] == "./shared/owner/name"


@pytest.fixture
def project(write: Write, tmp_path: Path) -> Write:
    """The same, with rows and a model."""
    write_plain_model(tmp_path / "model")
    write_plain_rows(tmp_path / "rows.csv")
    return write


def test_layers_lock_like_one_file(project: Write) -> None:
    flat = api.plan(project(recipe=FLAT), offline=True)
    text = flat.lock_file.read_text(encoding="utf-8")
    layered = api.plan(project(recipe=MAIN, base=BASE), offline=True)
    assert layered.lock_state == "up to date"
    assert layered.lock_file.read_text(encoding="utf-8") == text
    assert layered.plan.recipe == flat.plan.recipe
    assert layered.plan.run_id == flat.plan.run_id


def test_origins_name_the_file_or_the_flag(project: Write) -> None:
    plan = api.plan(project(recipe=MAIN, base=BASE), overrides=["strategy.rank=2"], offline=True).plan
    reasons = {path: (origin.kind, origin.reason) for path, origin in plan.origins.items()}
    assert reasons["strategy.adapter.rank"] == ("written", "--set strategy.rank=2")
    assert reasons["strategy.kind"] == ("written", "base.yaml:7")
    from ftc.views.plan import origins_text, plan_text

    assert "--set strategy.rank=2" in origins_text(plan)
    assert "Set        strategy.rank=2\n" in plan_text(plan)


def test_a_variation_leaves_the_lock_alone(project: Write) -> None:
    recipe = project(recipe=BASE)
    assert api.plan(recipe, overrides=["strategy.rank=2"], offline=True).lock_state == "left alone"
    assert not Path("recipe.lock.json").exists()
    text = api.plan(recipe, offline=True).lock_file.read_text(encoding="utf-8")
    varied = api.plan(recipe, overrides=["strategy.rank=2"], offline=True)
    assert varied.lock_state == "left alone"
    assert varied.lock_changes
    assert varied.lock_file.read_text(encoding="utf-8") == text
    with pytest.raises(Refusal) as refused:
        api.plan(recipe, overrides=["strategy.rank=2"], offline=True, locked=True)
    assert refused.value.diagnostics[0].code == "FTC503"


def test_a_saved_plan_is_made_again_with_what_lay_on_top(project: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = project(recipe=MAIN, base=BASE, top="strategy: {kind: lora, rank: 2}\ntrain: {seed: 7}\n")
    planned = api.plan(recipe, overrides=[Path("top.yaml"), "train.epochs=1"], offline=True)
    planned = api.save_plan(planned, "job.plan.json")
    Path("top.yaml").unlink()
    saved = api.load_plan("job.plan.json")
    assert saved == planned.plan
    assert saved.overrides == ('strategy={kind: "lora", rank: 2}', "train={seed: 7}", "train.epochs=1")
    handed: list[api.Planned] = []
    monkeypatch.setattr(ftc.verbs.apply, "execute_planned", lambda target, **_: handed.append(target))
    api.apply("job.plan.json", offline=True)
    assert handed[0].plan == saved
    project(base=BASE.replace("classification}", "classification, labels: [warm, cold]}"))
    with pytest.raises(Refusal) as refused:
        api.apply("job.plan.json", offline=True)
    (stale,) = refused.value.diagnostics
    assert stale.code == "FTC512"
    assert " --set 'train={seed: 7}' --set train.epochs=1 -o FILE" in stale.help[0]


def test_a_plan_says_its_overrides_as_json(project: Write) -> None:
    plan = api.plan(project(recipe=BASE), overrides=["train.epochs=1"], offline=True).plan
    assert json.loads(plan.to_text())["overrides"] == ["train.epochs=1"]
