"""Mixtures of experts: a step without memory allocates what a real one does, wherever routers send the tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.training.router_loss import routers_of
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

KINDS = ("mixtral", "qwen3_moe", "olmoe", "qwen2_moe", "gpt_oss", "granitemoe", "deepseek_v2", "deepseek_v3")
OF_THE_HOST = {"load", "clip"}
CPU = torch.device("cpu")
CASES = [
    (kind, strategy, checkpointing, precision, router)
    for kind in KINDS
    for strategy in ("full", "lora", "experts")
    for checkpointing in (False, "selective", True)
    for precision in ("float32", "bfloat16")
    for router in ((False, None), (True, 0.01))
]
USUAL = [
    ("mixtral", "full", False, "bfloat16", (True, 0.01)),
    ("qwen3_moe", "lora", True, "bfloat16", (False, 0.01)),
    ("gpt_oss", "lora", False, "float32", (False, None)),
    ("deepseek_v2", "full", True, "float32", (False, None)),
    ("qwen3_moe", "full", "selective", "bfloat16", (True, 0.01)),
    ("qwen3_moe", "experts", True, "bfloat16", (False, None)),
    ("gpt_oss", "experts", False, "float32", (False, None)),
    ("mixtral", "experts", "selective", "bfloat16", (False, 0.01)),
]
"""Cases of the usual suite; `nox -s traces` runs all."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        write_tiny_model(root / kind, kind)
    return {kind: root / kind for kind in KINDS}


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("kind", "strategy", "checkpointing", "precision", "router"), CASES if os.environ.get("FTC_TRACES") else USUAL
)
def test_a_step_without_memory_is_a_real_step_wherever_tokens_go(
    kind: str,
    strategy: str,
    checkpointing: Recomputing,
    precision: str,
    router: tuple[bool, float | None],
    models: dict[str, Path],
) -> None:
    trained, aux_loss = router
    if kind.startswith("deepseek"):
        aux_loss = None  # transformers has none
    job = trace_job(
        json.loads((models[kind] / "config.json").read_text()),
        strategy,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules=2,
        num_parameters=2 if kind.startswith("deepseek") else 4,  # the first layer of these is dense
        targets=("o_proj",),
        model__attention="eager" if kind == "gpt_oss" else "sdpa",
        train__activation_checkpointing=checkpointing,
        train__precision=precision,
        train__router={"trained": trained, "aux_loss": aux_loss},
    )
    groups = whole_groups((2,))
    without = peaks(log_of(job, (2,), groups))
    for is_uneven in (False, True):
        model: Any = build_model(job.settings, FolderBase(models[kind]), CPU)
        if is_uneven:
            for one, _ in routers_of(model):
                next(one.parameters()).data.zero_()  # all tokens go to the same experts
        real = peaks(run_steps(job, model, groups, CPU))
        apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
        assert set(apart.values()) == {0}, (is_uneven, apart)
