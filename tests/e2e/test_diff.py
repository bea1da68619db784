"""`ftc diff`: what changed is named once, with what it calls for; what means the same is no change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.test_lock import commit, edit, git, shuffle_header


def found(ftc: Ftc, old: str, new: str) -> dict[str, Any]:
    answer = ftc("diff", old, new, "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert isinstance(document, dict)
    return document


def changes(document: dict[str, Any]) -> dict[str, tuple[Any, Any, str]]:
    return {one["path"]: (one["old"], one["new"], one["effect"]) for one in document["changes"]}


@pytest.fixture
def root(project: MakeProject, ftc: Ftc) -> Path:
    """A project with a saved plan and a lock, both before anything changes."""
    root = project(steps=1)
    assert ftc("plan", "recipe.yaml", "-o", "old.plan.json").code == 0
    (root / "old.lock.json").write_bytes((root / "recipe.lock.json").read_bytes())
    (root / "old.yaml").write_bytes((root / "recipe.yaml").read_bytes())
    return root


def test_recipes(root: Path, ftc: Ftc) -> None:
    edit(root / "recipe.yaml", "rank: 4", "rank: 8")
    edit(root / "recipe.yaml", "samples: 2", "samples: 3")
    edit(root / "recipe.yaml", "name: tiny", "name: small")
    document = found(ftc, "old.yaml", "recipe.yaml")
    assert changes(document) == {
        "strategy.rank": (4, 8, "result"),
        "eval.samples": (2, 3, "evaluation"),
        "name": ("tiny", "small", "nothing"),
    }
    assert (document["level"], document["action"]) == ("recipe", "retrain")
    shown = ftc("diff", "old.yaml", "recipe.yaml")
    assert "-/+ strategy.rank" in shown.out
    assert "! eval.samples" in shown.text
    assert "3 changes: 1 to retrain, 1 to evaluate" in shown.text
    markdown = ftc("diff", "old.yaml", "recipe.yaml", "--format", "markdown").out
    assert "| `-/+` | `strategy.rank` | `4` | `8` | result | forces retraining |" in markdown
    assert ftc("diff", "old.yaml", "recipe.yaml", "--exit-code").code == 2
    assert ftc("diff", "old.yaml", "old.yaml", "--exit-code").code == 0


def test_another_kind_is_one_change_and_what_was_said_of_it(root: Path, ftc: Ftc) -> None:
    edit(root / "recipe.yaml", "kind: lora, rank: 4, dropout: 0.1", "kind: qlora, rank: 4, quantization: fp4")
    assert changes(found(ftc, "old.yaml", "recipe.yaml")) == {
        "strategy.kind": ("lora", "qlora", "result"),
        "strategy.dropout": ("0.1", "0.0", "result"),
        "strategy.quantization": (None, "fp4", "result"),
    }


def test_rows_are_named(root: Path, ftc: Ftc) -> None:
    edit(root / "rows.csv", "n3,", "n4,")
    assert ftc("lock", "recipe.yaml").code == 0
    document = found(ftc, "old.lock.json", "recipe.lock.json")
    (change,) = [one for one in document["changes"] if one["path"] == "data.rows"]
    assert (change["rows"]["added"], change["rows"]["removed"], change["rows"]["reordered"]) == (1, 1, False)
    assert change["rows"]["examples"][0].startswith("+ row 4")
    assert "n4" in change["rows"]["examples"][0]
    assert change["rows"]["examples"][1] == "- row 4 of the old file"
    assert document["action"] == "retrain"


def test_a_shuffled_file_is_reordered(root: Path, ftc: Ftc) -> None:
    head, *rows = (root / "rows.csv").read_text().splitlines(keepends=True)
    (root / "rows.csv").write_text("".join([head, *reversed(rows)]))
    assert ftc("lock", "recipe.yaml").code == 0
    shown = ftc("diff", "old.lock.json", "recipe.lock.json")
    assert "the same rows in another order" in shown.text


def test_weights_in_a_file_of_other_bytes_call_for_nothing(root: Path, ftc: Ftc) -> None:
    shuffle_header(root / "encoder" / "model.safetensors")
    assert ftc("plan", "recipe.yaml", "-o", "new.plan.json").code == 0
    document = found(ftc, "old.plan.json", "new.plan.json")
    assert document["action"] == "nothing"
    assert {path: effect for path, (_, _, effect) in changes(document).items()} == {
        "model.files.model.safetensors": "nothing"
    }


@pytest.mark.slow
def test_a_run_beside_plans_locks_and_recipes(root: Path, ftc: Ftc) -> None:
    assert ftc("apply", "old.plan.json").code == 0
    (record,) = (root / "runs").glob("*/*/record.json")
    run = record.parent.name
    for other in ("old.plan.json", "old.lock.json", "old.yaml"):
        document = found(ftc, other, run)
        assert (document["changes"], document["action"]) == ([], "nothing"), other
    edit(root / "recipe.yaml", "rank: 4", "rank: 8")
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    (other,) = [file.parent.name for file in (root / "runs").glob("*/*/record.json") if file.parent.name != run]
    document = found(ftc, run, other)
    assert document["level"] == "plan"
    assert changes(document)["strategy.adapter.rank"] == (4, 8, "result")
    assert {one["metric"] for one in document["outcomes"]} == {"accuracy", "macro_f1"}


def test_files_as_git_has_them(root: Path, ftc: Ftc) -> None:
    git(root, "init", "-qb", "main")
    commit(root, "start")
    edit(root / "recipe.yaml", "rank: 4", "rank: 8")
    assert changes(found(ftc, "recipe.yaml@main", "recipe.yaml")) == {"strategy.rank": (4, 8, "result")}
    assert found(ftc, "recipe.lock.json@HEAD", "recipe.lock.json")["changes"] == []


@pytest.mark.parametrize("revision", ["nowhere", "-h", "main:x"])
def test_what_git_does_not_have(root: Path, ftc: Ftc, revision: str) -> None:
    git(root, "init", "-qb", "main")
    refused = ftc("diff", f"recipe.yaml@{revision}", "recipe.yaml")
    assert (refused.code, "[FTC516]" in refused.err) == (1, True)


def test_a_variation_of_a_recipe(root: Path, ftc: Ftc) -> None:
    answer = ftc("diff", "recipe.yaml", "--set", "strategy.rank=8", "--json")
    assert changes(json.loads(answer.out)) == {"strategy.rank": (4, 8, "result")}
    assert ftc("diff", "recipe.yaml", "--set", "strategy.rank=4", "--detailed-exitcode").code == 0
    assert ftc("diff", "recipe.yaml").code == 64
    refused = ftc("diff", "recipe.yaml", "old.plan.json", "--set", "strategy.rank=8")
    assert refused.code == 64
    assert "error[FTC605]: `old.plan.json` is a plan, which `--set` can't change" in refused.err


def test_the_lock_of_a_variation_is_compared_and_left_alone(root: Path, ftc: Ftc) -> None:
    before = (root / "recipe.lock.json").read_bytes()
    shown = ftc("lock", "recipe.yaml", "--set", "strategy.rank=8")
    assert shown.code == 0
    assert "recipe.lock.json  changed; left as it is" in shown.out
    assert (root / "recipe.lock.json").read_bytes() == before
    assert ftc("lock", "--set", "strategy.rank=8", "--detailed-exitcode").code == 2
    refused = ftc("lock", "--set", "strategy.rank=8", "--locked")
    assert (refused.code, "leave out `--set`" in refused.err) == (2, True)
    assert ftc("lock", "--locked").code == 0
