"""Layers that devices divide: the trace follows what one of them holds, and the closed form comes close to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.memory.memory import by_closed_form, question
from ftc.runtime.memory_trace.child import trace
from tests.compiler.search.test_device_counts import cards
from tests.support.drafts import decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

LENGTH = 2048


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "checkpointing", "devices", "changes"),
    [
        ("lora", False, 2, {}),
        ("lora", True, 4, {}),
        ("full", False, 4, {}),
        ("full", True, 4, {"tie_word_embeddings": False, "num_hidden_layers": 4}),  # its output layer is divided, too
    ],
)
def test_the_closed_form_comes_close_to_the_trace(
    strategy: str, checkpointing: bool, devices: int, changes: dict[str, Any]
) -> None:
    train: dict[str, Any] = {"tensor_parallel": 2, "batch_size": 4, "activation_checkpointing": checkpointing}
    train |= {"packing": False, "micro_batch": 1, "precision": "bfloat16"}
    draft = draft_of(
        facts=grid_facts({**GRID["Qwen2.5-1.5B"], **changes}),
        device=cards(4),
        task={"kind": "chat"},
        strategy={"kind": strategy},
        budget={"devices": devices},
        train=train,
        splits={"train": 100},
    )
    long = {"length_p50": LENGTH, "length_p95": LENGTH, "length_max": LENGTH, "supervised_max": 500}
    closed = decided(replace(draft, splits={"train": split_report(100, **long, tokens=100 * LENGTH)}))
    assert (closed.candidate.tensor_parallel, closed.candidate.sharding) == (2, "fsdp")
    form, traced = by_closed_form(closed), trace(question(closed))
    assert form.allocated_bytes == pytest.approx(traced.allocated_bytes, rel=0.1)
