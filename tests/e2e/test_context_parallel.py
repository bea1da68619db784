"""A recipe whose rows are shared by two processes, from its plan to its audit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.shared_runs import one_and_two

_SETS = ("--set", "budget.devices=2", "--set", "train.context_parallel=2")


def test_a_plan_says_how_rows_are_shared(project: MakeProject, ftc: Ftc) -> None:
    root = project("chat", "lora")
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json", *_SETS)
    assert planned.code == 0, planned.text
    assert "each row shared by 2 devices" in planned.text
    plan: dict[str, Any] = json.loads((root / "plan.json").read_text())
    train = plan["settings"]["train"]
    assert (train["context_parallel"], train["world_size"], train["sharding"]) == (2, 2, "ddp")
    assert ftc("plan", "recipe.yaml", "--origins", *_SETS).code == 0
    alone = ftc("plan", "recipe.yaml", "--origins")
    assert "context_parallel" in alone.text
    refused = ftc("plan", "recipe.yaml", *_SETS, "--set", "model.attention=eager")
    assert refused.code == 3
    assert "FTC717" in refused.text


@pytest.mark.slow
def test_what_two_processes_share_is_what_one_does(project: MakeProject, ftc: Ftc) -> None:
    project("chat", "lora, init: default", steps=4)
    _, second = one_and_two(_SETS)
    assert second.plan.settings.train.context_parallel == 2
    assert ftc("audit", second.record.id).code == 0
