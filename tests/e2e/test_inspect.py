"""What training changed in finished runs of several strategies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject


def test_an_adapter(project: MakeProject, ftc: Ftc, tmp_path: Path) -> None:
    project("chat", steps=2)
    api.apply("recipe.yaml")
    (run,) = api.runs()
    answer = ftc("run", "inspect", run.record.id, "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert {one["kind"] for one in found["changes"]} == {"factors"}
    assert all(1 <= float(one["stable_rank"]) <= float(one["effective_rank"]) + 1e-6 for one in found["changes"])
    assert [one["layer"] for one in found["states"]] == [0, 1]
    assert (found["split"], found["rows"]) == ("validation", min(8, run.plan.data["validation"].rows))
    written = ftc("run", "inspect", run.record.id, "--format", "html", "-o", "inside.html")
    assert written.code == 0, written.err
    assert "q_proj" in Path("inside.html").read_text()
    shutil.rmtree(tmp_path / "cache")
    assert "[FTC660]" in ftc("run", "inspect", run.record.id).err
    alone = ftc("run", "inspect", run.record.id, "--weights-only")
    assert (alone.code, "states are not compared" in alone.out) == (0, True), alone.err
    adapter = run.folder / "adapter" / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"?")
    assert "[FTC521]" in ftc("run", "inspect", run.record.id, "--weights-only").err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "kinds", "note"),
    [
        ("{kind: full}", {"dense", "new"}, ""),
        ("{kind: lora, rank: 4, dora: true}", {"dense"}, ""),
        ("{kind: lora, rank: 4, init: pissa}", {"factors", "dense"}, ""),
        ("{kind: ia3}", {"dense"}, ""),
        ("{kind: prompt_tuning, virtual_tokens: 4}", {"dense"}, "virtual tokens"),
        ("{kind: bottleneck}", set(), "weights are not compared"),
    ],
)
def test_each_strategy_says_what_it_can(project: MakeProject, strategy: str, kinds: set[str], note: str) -> None:
    root = project("classification", steps=1)
    recipe = root / "recipe.yaml"
    line = next(line for line in recipe.read_text().splitlines() if line.startswith("strategy:"))
    recipe.write_text(recipe.read_text().replace(line, f"strategy: {strategy}"))
    api.apply("recipe.yaml")
    (run,) = api.runs()
    found = api.inspect(run).report
    assert {one.kind for one in found.changes} == kinds
    assert note in " ".join(found.notes)
    assert bool(found.states) or "states are not compared" in " ".join(found.notes)
    if strategy == "{kind: full}":
        assert len(found.tokens) == 20
        assert sum(one.parameters for one in found.changes) == run.plan.model.num_trainable
