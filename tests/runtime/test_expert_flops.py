"""Operations of adapters of experts, counted from shapes, are those that torch counts while a real step is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftc.compiler.time.amounts import batch_amounts, cost
from ftc.compiler.time.network import network_of
from ftc.compiler.time.operator_costs import flop_rates
from ftc.runtime.memory_trace.rows import stand_in_rows
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.strategies.common import low_rank, targeted
from ftc.spec.strategies.on_experts import beside_experts
from tests.runtime.test_flops import LENGTH, RANK, ROWS, SCORED, facts_of
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import trace_job


def counted(folder: Path, strategy: str, checkpointing: Recomputing) -> int:
    """What torch counts of a step; experts are computed one after the other, since it counts no grouped products."""
    plain = trace_job({"model_type": "qwen3_moe"}, strategy, rank=RANK, num_modules=4).settings.model_dump()
    plain["strategy"]["adapter"]["dropout"] = 0.0
    plain["model"] |= {"attention": "eager"}
    plain["train"] |= {"activation_checkpointing": checkpointing, "precision": "float32"}
    settings = trace_job().settings.model_validate(plain)
    model: Any = build_model(settings, FolderBase(folder), torch.device("cpu")).train()
    model.get_base_model().set_experts_implementation("eager")
    scorer = make_scorer(model, settings)
    rows = stand_in_rows(settings, BatchShape(length=LENGTH, supervised=SCORED, padded=False), ROWS)
    with FlopCounterMode(display=False) as counter:
        scorer.losses(scorer.logits(model, batch := scorer.batch(rows, list(range(ROWS)))), batch).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_operations_that_experts_add_are_those_that_torch_counts(checkpointing: Recomputing, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", "qwen3_moe")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    facts = facts_of(tmp_path / "model").model_copy(update={"config": config})
    linear = {name: low_rank(RANK, *size) for name, size in targeted(facts, ("q_proj", "v_proj")).items()}
    experts = beside_experts(facts, ("experts.gate_up_proj", "experts.down_proj"), lambda _name: RANK)
    assert len(experts) == 4
    expected = []
    for beside in (linear, linear | experts):
        network = network_of(
            facts, beside=beside, trained=(), flows_from_start=False, trainable=0, new_outputs=0, attention="formula"
        )
        rates = flop_rates(network, checkpointing=checkpointing).step
        expected.append(cost(rates, batch_amounts(ROWS, LENGTH, scored=ROWS * SCORED)))
    found = [counted(tmp_path / "model", strategy, checkpointing) for strategy in ("lora", "experts")]
    assert expected[1] - expected[0] == pytest.approx(found[1] - found[0], rel=0.01)
