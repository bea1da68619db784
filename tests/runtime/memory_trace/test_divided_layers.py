"""Layers that devices divide: the trace follows what one of them holds, and the closed form comes close to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, question
from ftc.runtime.memory_trace.child import trace
from tests.compiler.search.test_device_counts import cards
from tests.support.drafts import decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

LENGTH = 2048
SCORED = 500


def job(config: dict[str, Any], strategy: str, devices: int, **train: Any) -> ClosedDraft:
    """A job of rows of 2,048 tokens whose layers two devices divide, decided."""
    settled = {"tensor_parallel": 2, "batch_size": 4, "packing": False, "micro_batch": 1}
    draft = draft_of(
        facts=grid_facts(config),
        device=cards(4),
        task={"kind": "chat"},
        strategy={"kind": strategy},
        budget={"devices": devices},
        train={**settled, **train},
        splits={"train": 100, "validation": 8},
    )
    long = {"length_p50": LENGTH, "length_p95": LENGTH, "length_max": LENGTH, "supervised_max": SCORED}
    reports = {name: split_report(split.rows, **long) for name, split in draft.splits.items()}
    return decided(replace(draft, splits=reports))


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
    config = {**GRID["Qwen2.5-1.5B"], **changes}
    closed = job(config, strategy, devices, activation_checkpointing=checkpointing, precision="bfloat16")
    assert (closed.candidate.tensor_parallel, closed.candidate.sharding) == (2, "fsdp")
    form, traced = by_closed_form(closed), trace(question(closed))
    assert form.allocated_bytes == pytest.approx(traced.allocated_bytes, rel=0.1)


_UNTIED = {**GRID["Qwen2.5-1.5B"], "tie_word_embeddings": False, "num_hidden_layers": 4}


def test_scores_of_a_divided_output_layer_are_there_in_shares_and_whole() -> None:
    """A device's own share, those of all, and the scores that these are put together to: more than a softmax takes of
    scores in float32, and less than it takes of narrower ones.
    """
    places = 4 * SCORED
    for precision, each in (("float32", 4 * 2.5), ("bfloat16", 4 * 2.0)):
        closed = job(_UNTIED, "lora", 4, precision=precision, loss_chunk_size="none")
        (head,) = (one for one in by_closed_form(closed).phases if one.phase == "evaluation: head")
        assert head.components["logits"] == places * _UNTIED["vocab_size"] * each
    tied = job({**_UNTIED, "tie_word_embeddings": True}, "lora", 4, precision="float32", loss_chunk_size="none")
    (whole,) = (one for one in by_closed_form(tied).phases if one.phase == "evaluation: head")
    assert whole.components["logits"] == places * _UNTIED["vocab_size"] * 8, "it isn't divided"


@pytest.mark.slow
def test_the_trace_follows_how_scores_are_put_together() -> None:
    closed = job(_UNTIED, "lora", 4, precision="float32", loss_chunk_size="none")
    form, traced = by_closed_form(closed), trace(question(closed))
    heads = [next(one for one in found.phases if one.phase == "evaluation: head") for found in (form, traced)]
    assert heads[0].components["logits"] == pytest.approx(heads[1].components["logits"], rel=0.05)
    assert heads[0].peak_bytes == pytest.approx(heads[1].peak_bytes, rel=0.05)
