"""The trace runs the scorer of every head, on the batches that it gets in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.memory_trace import BatchShape
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import LLAMA, PROCESSOR, trace_job

BERT = {
    "model_type": "bert",
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TINY = {**LLAMA, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
EMBEDDING: dict[str, Any] = {
    "model__head": "embedding",
    "text__form": "embed",
    "train__embedding": {"loss": "multiple_negatives", "temperature": 0.05, "pooling": "mean", "normalize": True},
}
LABELS = ("O", "B-X", "I-X")


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (BERT, {"model__head": "multi_label"}),
        (BERT, {"model__head": "token_classification"}),
        (TINY, {"model__head": "token_classification"}),
        (BERT, {"model__head": "span", "eval__max_answer_tokens": 8}),
        (TINY, {"train__preference": {"beta": 0.1}, "text__form": "preference"}),
        (BERT, EMBEDDING),
    ],
)
def test_a_trace_of_every_head(config: dict[str, Any], changes: dict[str, Any]) -> None:
    job = trace_job(config, "full", text__labels=LABELS, **changes)
    found = trace(job)
    assert found.allocated_bytes > 0
    assert all(sum(phase.components.values()) == phase.peak_bytes for phase in found.phases)


@pytest.mark.slow
def test_in_batch_negatives_hold_vectors_of_the_whole_batch_and_states_of_a_part() -> None:
    shape = BatchShape(length=32, supervised=2, padded=True)
    few, many, whole = (
        trace(trace_job(BERT, "full", shape=shape, **EMBEDDING, train__batch_size=batch, train__micro_batch=micro))
        for batch, micro in ((32, 16), (1024, 16), (1024, 1024))
    )
    vectors = 2 * 1024 * 64 * 4
    assert few.allocated_bytes + vectors < many.allocated_bytes < whole.allocated_bytes / 4


def test_comparing_answers_holds_two_sequences_a_row() -> None:
    """A pair is as long as the sum of its sequences, so it needs about what a row of that length needs."""
    plain, pair = (
        trace(trace_job(TINY, "full")),
        trace(trace_job(TINY, "full", train__preference={"beta": 0.1}, text__form="preference")),
    )
    assert 0.5 < pair.allocated_bytes / plain.allocated_bytes < 1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "strategy", "changes"),
    [
        ("t5", "full", {}),
        ("t5", "lora", {"train__activation_checkpointing": True, "train__precision": "bfloat16"}),
        ("bart", "full", {"train__precision": "bfloat16"}),
    ],
)
def test_a_head_that_looks_for_the_end_of_a_row(
    kind: str, strategy: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    """How many tokens it finds is a matter of values, which tensors without memory have none of."""
    write_tiny_model(tmp_path, kind)
    head: dict[str, Any] = {"model__head": "classification", "text__labels": LABELS, "num_modules": 12}
    config = json.loads((tmp_path / "config.json").read_text())
    job = trace_job(config, strategy, device=PROCESSOR, **head, **changes)
    groups = whole_groups((2, 2))
    without = peaks(log_of(job, (2, 2), groups))
    model = build_model(job.settings, FolderBase(tmp_path), torch.device("cpu"))
    real = peaks(run_steps(job, model, groups, torch.device("cpu"), Folder(tmp_path / "run")))
    assert without.keys() == real.keys()
    assert {without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == {0}
