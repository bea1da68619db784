"""A process that shares rows with others, on tensors without memory: what it really takes, and what the form says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.compiler.memory.memory import by_closed_form, question
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.memory_trace import BatchShape
from tests.compiler.search.test_device_counts import cards
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.support.drafts import decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

_SHARED: dict[str, Any] = {"train__context_parallel": 2, "train__world_size": 2, "train__batch_size": 4}
_WAYS: list[dict[str, Any]] = [
    {"strategy": "full"},
    {"strategy": "lora", "train__packing": True, "train__micro_batch": 1, "train__batch_size": 2},
    {"strategy": "lora", "train__precision": "bfloat16", "train__activation_checkpointing": True},
    {"strategy": "full", "train__loss_chunk_size": 3},
]


@pytest.mark.sample(2)
@pytest.mark.parametrize("way", _WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_shared_rows_without_memory_are_those_of_a_real_step(way: dict[str, Any], tmp_path: Path) -> None:
    write_tiny_model(tmp_path, "llama")
    config, cpu = json.loads((tmp_path / "config.json").read_text()), torch.device("cpu")
    shape = BatchShape(length=20, supervised=7, padded=False)
    job = trace_job(config, device=PROCESSOR, shape=shape, num_modules=4, **_SHARED | way)
    without = peaks(log_of(job, (2,), whole_groups((2,))))
    real = peaks(run_steps(job, build_model(job.settings, FolderBase(tmp_path), cpu), whole_groups((2,)), cpu))
    apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    assert set(apart.values()) == {0}, apart


@pytest.mark.slow
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("context", [2, 4])
def test_the_closed_form_comes_close_to_the_trace(context: int, checkpointing: bool, packs: bool) -> None:
    train: dict[str, Any] = {"context_parallel": context, "batch_size": 4, "activation_checkpointing": checkpointing}
    train |= {"packing": packs, "micro_batch": 1, "precision": "bfloat16", "sharding": "ddp"}
    length = 8192
    draft = draft_of(
        facts=grid_facts(GRID["Qwen2.5-1.5B"]).model_copy(update={"max_positions": length}),
        device=cards(4),
        task={"kind": "chat"},
        strategy={"kind": "lora"},
        budget={"devices": 4},
        train=train | ({"micro_batch_tokens": length} if packs else {}),
        splits={"train": 100},
    )
    long = {"length_p50": length, "length_p95": length, "length_max": length, "supervised_max": 2000}
    closed = decided(replace(draft, splits={"train": split_report(100, **long, tokens=100 * length)}))
    assert closed.candidate.context_parallel == context
    form, traced = by_closed_form(closed), trace(question(closed))
    assert form.allocated_bytes == pytest.approx(traced.allocated_bytes, rel=0.05)
