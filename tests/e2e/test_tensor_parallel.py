"""A recipe whose layers are divided by two processes, from its plan to its audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.shared_runs import one_and_two

_SETS = ("--set", "budget.devices=2", "--set", "train.tensor_parallel=2")


def _with_two_heads(root: Path) -> None:
    """The project's model with keys and values for each of its two heads."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = next(one.parent for one in root.glob("*/config.json"))
    config = AutoConfig.from_pretrained(folder)
    config.num_key_value_heads = 2
    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def test_a_plan_says_how_layers_are_divided(project: MakeProject, ftc: Ftc) -> None:
    root = project("chat", "lora")
    _with_two_heads(root)
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json", *_SETS)
    assert planned.code == 0, planned.text
    assert "each layer divided by 2 devices" in planned.text
    plan: dict[str, Any] = json.loads((root / "plan.json").read_text())
    train = plan["settings"]["train"]
    assert (train["tensor_parallel"], train["world_size"], train["sharding"]) == (2, 2, "fsdp")
    assert plan["memory"]["components"]["gathered weights"] > 0
    alone = ftc("plan", "recipe.yaml", "--origins")
    assert "tensor_parallel" in alone.text
    for more, word in (
        (("train.sharding=ddp",), "gradients of whole weights"),
        (("strategy.dora=true",), "DoRA"),
        (("train.precision=float16",), "float16"),
        (("train.tensor_parallel=4", "budget.devices=4"), "heads"),
    ):
        sets = [part for one in more for part in ("--set", one)]
        refused = ftc("plan", "recipe.yaml", *_SETS, *sets)
        assert (refused.code, "FTC718" in refused.text, word in refused.text) == (3, True, True), refused.text


@pytest.mark.slow
def test_what_two_processes_divide_is_what_one_computes(project: MakeProject, ftc: Ftc) -> None:
    _with_two_heads(project("chat", "lora, init: default", steps=4))
    _, second = one_and_two(_SETS)
    assert second.plan.settings.train.tensor_parallel == 2
    assert ftc("audit", second.record.id).code == 0
