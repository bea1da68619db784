"""A step without memory allocates what a real one does: byte for byte, phase by phase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ftc.runtime.build_model import FolderBase, build_model
from ftc.runtime.trace.log import peaks
from ftc.runtime.trace.sections import Groups
from ftc.runtime.trace.step import run_steps
from ftc.runtime.trace.whole import log_of
from ftc.spec.trace import BatchShape
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

GROUPS = Groups(period=1, count=2, of_model=2)
OF_THE_HOST = {"load", "clip"}
"""Phases in which a real step on the processor also makes its batches where the tracker sees them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models with real weights, two layers each."""
    root = tmp_path_factory.mktemp("models")
    kinds = ("llama", "qwen2", "gemma2", "gpt2", "bert")
    for kind in kinds:
        write_tiny_model(root / kind, kind)
    return {kind: root / kind for kind in kinds}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("strategy", ["full", "lora", "qlora"])
@pytest.mark.parametrize(
    "kind",
    [
        "llama",
        "qwen2",
        "bert",
        pytest.param("gemma2", marks=pytest.mark.slow),
        pytest.param("gpt2", marks=pytest.mark.slow),
    ],
)
def test_a_step_without_memory_is_a_real_step(
    kind: str, strategy: str, checkpointing: bool, precision: str, models: dict[str, Path]
) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    for attention in ("eager",) if kind == "gemma2" else ("eager", "sdpa"):
        job = trace_job(
            json.loads((models[kind] / "config.json").read_text()),
            strategy,
            device=PROCESSOR,
            shape=BatchShape(length=20, supervised=7, padded=False),
            num_modules=2 if kind == "gpt2" else 4,
            model__attention=attention,
            train__activation_checkpointing=checkpointing,
            train__precision=precision,
        )
        without = peaks(log_of(job, 2, GROUPS))
        model = build_model(job.settings, FolderBase(models[kind]), torch.device("cpu"))
        real = peaks(run_steps(job, model, GROUPS, torch.device("cpu")))
        assert real.keys() == without.keys()
        apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
        assert set(apart.values()) == {0}, (attention, apart)
