"""Layers that stay quantized in memory take as much in the memory trace and in the estimate as in a real step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.compiler.resolve.models.packed_files import packed_layers, packing_of
from ftc.compiler.resolve.models.weights import read_weights
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.models.packed_layers import PackedLinear
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.packed_weights import PackedWeights
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.support.grid import GRID, by_both, grid_facts
from tests.support.packed_files import packed_copies
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job


@pytest.mark.parametrize(
    ("layout", "bits", "checkpointing", "precision"),
    [("gptq", 4, False, "float32"), ("gptq_v2", 8, True, "bfloat16"), ("awq", 4, "selective", "bfloat16")],
)
def test_a_step_without_memory_is_a_real_step(
    layout: str, bits: int, checkpointing: Recomputing, precision: str, tmp_path: Path
) -> None:
    write_tiny_model(tmp_path / "qwen2", "qwen2")
    folder, _ = packed_copies(tmp_path / "qwen2", layout, bits)
    config = json.loads((folder / "config.json").read_text())
    said = config.pop("quantization_config")
    weights = read_weights(folder, folder)
    tensors, packed = packed_layers(weights.tensors, packing_of(said, said["quant_method"]))
    job = trace_job(
        config,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules=4,
        model__packed=packed,
        train__activation_checkpointing=checkpointing,
        train__precision=precision,
    )
    without = peaks(log_of(job, (2,), whole_groups((2,))))
    model = build_model(job.settings, FolderBase(folder), torch.device("cpu"))
    layers = [(name, one) for name, one in model.named_modules() if isinstance(one, PackedLinear)]
    sizes = sum(packed.layer_bytes(*one) for one in linear_modules(tensors, "qwen2").values())
    assert len(layers) == 14
    assert sum(one.nbytes for _, layer in layers for one in layer.buffers()) == sizes
    real = peaks(run_steps(job, model, whole_groups((2,)), torch.device("cpu"), Folder(tmp_path / "shelf")))
    assert {without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", ["Qwen2.5-1.5B", "Mistral-7B-v0.3"])
def test_both_methods_agree(name: str, checkpointing: bool) -> None:
    facts = grid_facts(GRID[name])
    modules = tuple(sorted({one.split(".", 3)[3] for one in facts.linear_modules}))
    packed = PackedWeights(layout="gptq", bits=4, group_size=128, modules=modules)
    facts = facts.model_copy(update={"packed": packed, "quantized_files": "gptq"})
    strategy = {"kind": "lora", "targets": "all-linear"}
    form, traced = by_both(facts, strategy, activation_checkpointing=checkpointing)
    assert form == pytest.approx(traced, rel=0.05)
    print(form, traced)
