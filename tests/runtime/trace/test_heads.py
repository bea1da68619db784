"""The trace runs the scorer of every head, on the batches that it gets in a run."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.runtime.trace.child import trace
from tests.support.trace_jobs import LLAMA, trace_job

BERT = {
    "model_type": "bert",
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TINY = {**LLAMA, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
LABELS = ("O", "B-X", "I-X")


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (BERT, {"model__head": "multi_label"}),
        (BERT, {"model__head": "token_classification"}),
        (TINY, {"model__head": "token_classification"}),
        (BERT, {"model__head": "span", "eval__max_answer_tokens": 8}),
        (TINY, {"train__preference": {"beta": 0.1}}),
    ],
)
def test_a_trace_of_every_head(config: dict[str, Any], changes: dict[str, Any]) -> None:
    job = trace_job(config, "full", text__labels=LABELS, **changes)
    found = trace(job)
    assert found.allocated_bytes > 0
    assert all(sum(phase.components.values()) == phase.peak_bytes for phase in found.phases)


def test_comparing_answers_holds_two_sequences_a_row() -> None:
    """A pair is as long as the sum of its sequences, so it needs about what a row of that length needs."""
    plain, pair = trace(trace_job(TINY, "full")), trace(trace_job(TINY, "full", train__preference={"beta": 0.1}))
    assert 0.5 < pair.allocated_bytes / plain.allocated_bytes < 1.5
