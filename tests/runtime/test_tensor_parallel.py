"""Processes that divide each layer under torchrun do the work of one that has it whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftc.runtime.models.tensor_parallel import NoTensorPlanError, TensorPlan
from ftc.spec.architectures import ARCHITECTURES
from ftc.spec.tensor_parallel import is_whole_plan
from tests.launch.machines import free_port
from tests.runtime.agreement import agree, job_of, steps_of
from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job
from tests.support.tiny_models import write_tiny_model

_ALONE: dict[str, Any] = {"train__batch_size": 4, "train__micro_batch": 2}
_STILL: dict[str, Any] = {"strategy__adapter__dropout": 0.0}
_DIVIDED: dict[str, Any] = {
    **_ALONE,
    "train__world_size": 2,
    "device__count": 2,
    "train__tensor_parallel": 2,
    "train__sharding": "fsdp",
}
_FOUR: dict[str, Any] = {**_DIVIDED, "train__world_size": 4, "device__count": 4}
_CHUNKED: dict[str, Any] = {"train__loss_chunk_size": 2, "train__activation_checkpointing": True}
_PACKED: dict[str, Any] = {"train__packing": True, "train__micro_batch_tokens": 33}


def _agree(job: Job, name: str) -> None:
    """The run of that name and `one` did the same, gradients' lengths too, by which they are clipped."""
    agree(job, name)
    lengths = [[float(step["grad_norm"]) for step in steps_of(job, which)] for which in ("one", name)]
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-4), "gradients are clipped by the length of all of them"


def _has_same_bits(job: Job, name: str, other: str) -> None:
    records = [json.loads(job.folder(which).record.read_text()) for which in (name, other)]
    assert records[0]["final_weights_sha256"] == records[1]["final_weights_sha256"], "a resumed run gives the same bits"


@pytest.mark.slow
def test_two_processes_that_divide_layers_equal_one(tmp_path: Path) -> None:
    full = make_job(tmp_path, "llama", "full", **_ALONE)
    full.run("one")
    together(
        tmp_path,
        [
            job_of("divided", "llama", "full", _DIVIDED),
            job_of("stopped", "llama", "full", _DIVIDED, stop_at=8),
            job_of("packed", "llama", "full", {**_DIVIDED, **_PACKED}),
        ],
    )
    for name in ("divided", "stopped", "packed"):
        _agree(full, name)
    _has_same_bits(full, "divided", "stopped")


@pytest.mark.slow
def test_halves_of_an_adapter_follow_the_layers_beside_them(tmp_path: Path) -> None:
    """Of a model whose norms of heads see other heads in each process."""
    adapter: dict[str, Any] = {
        "strategy__adapter__targets": ("q_proj", "o_proj", "down_proj"),
        "strategy__adapter__num_modules": 6,
    }
    lora = make_job(tmp_path, "qwen3", "lora", **_ALONE, **_STILL, **adapter)
    lora.run("one")
    changes = {**_DIVIDED, **_STILL, **adapter}
    jobs = [job_of(name, "qwen3", "lora", changes, stop_at) for name, stop_at in (("lora", None), ("stopped", 8))]
    together(tmp_path, jobs)
    _agree(lora, "lora")
    _agree(lora, "stopped")
    _has_same_bits(lora, "lora", "stopped")


@pytest.mark.slow
def test_groups_that_divide_layers_divide_the_model_among_them(tmp_path: Path) -> None:
    """Four processes in two groups; three rows a step, so that one stands in. The output layer has its own weights."""
    rows = {"train__learning_rate": 1e-3, "train__batch_size": 3, "train__micro_batch": 1}
    full = make_job(tmp_path, "qwen3", "full", **_ALONE | rows)
    full.run("one")
    jobs = [job_of(name, "qwen3", "full", _FOUR | rows, stop_at) for name, stop_at in (("fsdp", None), ("stopped", 4))]
    jobs.append(job_of("chunked", "qwen3", "full", _FOUR | rows | _CHUNKED))
    together(tmp_path, jobs, processes=4)
    _agree(full, "fsdp")
    _agree(full, "chunked")
    _has_same_bits(full, "fsdp", "stopped")


@pytest.mark.slow
def test_what_is_trained_may_stand_in_no_divided_layer(tmp_path: Path) -> None:
    """Norms and embeddings: each process writes a part of its own to a checkpoint, and reads all of them."""
    still: dict[str, Any] = {"strategy__freeze": ("*_proj", "lm_head")}
    full = make_job(tmp_path, "qwen3", "full", **_ALONE, **still)
    full.run("one")
    jobs = [
        job_of(name, "qwen3", "full", _DIVIDED | still, stop_at) for name, stop_at in (("norms", None), ("stopped", 8))
    ]
    together(tmp_path, jobs)
    _agree(full, "norms")
    _has_same_bits(full, "norms", "stopped")
    names = {file.name for file in full.folder("norms").checkpoints.rglob("*-of-*.safetensors")}
    assert {name.rpartition("-of-")[2] for name in names} == {"00002.safetensors"}


@pytest.mark.slow
def test_machines_hold_copies_whose_layers_are_divided(tmp_path: Path) -> None:
    """Two agents of two processes."""
    full = make_job(tmp_path, "llama", "full", **_ALONE)
    full.run("one")
    way = {**_FOUR, "device__count": 2, "train__nodes": 2, "train__sharding": "hsdp"}
    jobs = [job_of(name, "llama", "full", way, stop_at) for name, stop_at in (("hsdp", None), ("stopped", 4))]
    together(tmp_path, jobs, processes=2, machines=2)
    _agree(full, "hsdp")
    _has_same_bits(full, "hsdp", "stopped")


@pytest.mark.slow
def test_every_card_that_says_so_can_be_divided() -> None:
    """Scores and gradients of a tiny model of each type, whole and divided by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(free_port()), "-m", "tests.runtime.divided_models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    apart: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert set(apart) == {row.model_type for row in ARCHITECTURES if row.divides_layers}
    assert max(apart.values()) < 1e-5, apart


def test_a_model_without_a_plan_is_not_divided(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    write_tiny_model(tmp_path / "gpt2", "gpt2")
    gpt2: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2")
    two: Any = SimpleNamespace(size=lambda: 2)
    with pytest.raises(NoTensorPlanError, match="no plan"):
        TensorPlan(gpt2, two)
    write_tiny_model(tmp_path / "qwen3", "qwen3")
    qwen3: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "qwen3")
    plan = dict(qwen3.config.base_model_tp_plan)
    qwen3.config.base_model_tp_plan = {name: style for name, style in plan.items() if "norm" not in name}
    with pytest.raises(NoTensorPlanError, match="leaves out"):
        TensorPlan(qwen3, two)
    qwen3.config.base_model_tp_plan = {**plan, "layers.*.mlp": "a style of later"}
    with pytest.raises(NoTensorPlanError, match="a style of later"):
        TensorPlan(qwen3, two)
    assert not is_whole_plan(qwen3.config.base_model_tp_plan)
    assert is_whole_plan(plan)
    assert not any(hasattr(one, "placements") for one in qwen3.parameters())
