"""Full training in bfloat16 alone: what a plan counts is what the trace finds, and larger models fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.devices import CARDS
from ftc.spec.documents.facts import ModelFacts
from tests.support.drafts import CARD, decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

LLAMA_3B = {
    "model_type": "llama",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}
"""Sizes of Llama 3.2 3B, from its public configuration."""


def _planned(facts: ModelFacts, precision: str, **train: Any) -> ClosedDraft:
    """A plan of chats with 736 tokens on an L40S, of which 45 GiB can be used."""
    known = CARDS["l40s"]
    changes = {"name": "l40s", "capability": known.capability, "memory_bytes": known.memory_bytes}
    settled = {"precision": precision, "packing": False, "batch_size": 16, **train}
    draft = draft_of(
        facts=facts,
        device=CARD.model_copy(update=changes),
        task={"kind": "chat"},
        strategy={"kind": "full"},
        train=settled,
    )
    report = split_report(100, length_max=736, supervised_max=368)
    return decided(replace(draft, splits=dict.fromkeys(draft.splits, report), platform="linux_x86_64"))


@pytest.mark.slow
def test_three_billion_weights_fit_where_float32_copies_do_not() -> None:
    """Others measured 36.2 GiB for such a job; weights, gradients and state alone take 16 or 10 bytes a weight."""
    facts = grid_facts(LLAMA_3B)
    wide, narrow = (_planned(facts, precision) for precision in ("bfloat16", "pure_bfloat16"))
    assert {one.code for one in wide.diagnostics if one.is_error} in ({"FTC402"}, {"FTC405"})
    assert [one.code for one in narrow.diagnostics if one.is_error] == []
    for draft, each in ((wide, 16), (narrow, 10)):
        assert draft.memory is not None
        step = next(one for one in draft.memory.phases if one.phase == "optimiser step")
        parts = ("weights", "gradients", "optimiser state")
        assert sum(step.components[part] for part in parts) == each * facts.num_parameters
    assert narrow.memory is not None
    assert narrow.memory.process.expected < 36.2 * 2**30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GPT-2", "SmolLM2-360M"])
@pytest.mark.parametrize("recomputing", [False, True])
def test_both_methods_agree(name: str, recomputing: bool) -> None:
    pytest.importorskip("optimi")
    facts = grid_facts(GRID[name])
    draft = _planned(facts, "pure_bfloat16", micro_batch=2, activation_checkpointing=recomputing)
    assert by_closed_form(draft).allocated_bytes == pytest.approx(trace(question(draft)).allocated_bytes, rel=0.05)
