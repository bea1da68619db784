"""Several processes on tensors without memory: what each of them holds, and that real processes hold the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.models.packed_files import packed_layers, packing_of
from ftc.compiler.resolve.models.weights import read_weights
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.support.packed_files import packed_copies
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

ROOT = Path(__file__).parents[3]
NARROW = "pure_bfloat16"
_WAYS: list[dict[str, Any]] = [
    {"strategy": "full"},
    {"strategy": "lora", "train__precision": "bfloat16"},
    {"strategy": "full", "train__precision": "bfloat16", "train__activation_checkpointing": True},
    {"strategy": "lora", "train__activation_checkpointing": True},
    {"strategy": "partial"},
    {"strategy": "lora", "token_ids": (5, 7), "train__precision": "bfloat16"},
    {"strategy": "dora"},
    {"strategy": "bottleneck"},
    {"strategy": "full", "train__ema_decay": 0.9},
    *([{"strategy": "full", "train__precision": NARROW}] if find_spec("optimi") else []),
]
_WHOLE = {"train__sharding": "ddp"}
_WAYS_WHOLE: list[dict[str, Any]] = [
    {"strategy": "full", **_WHOLE},
    {"strategy": "lora", "train__precision": "bfloat16", **_WHOLE},
    {"strategy": "full", "train__precision": "bfloat16", "train__activation_checkpointing": True, **_WHOLE},
    {"strategy": "full", "train__batch_size": 4, **_WHOLE},
    {"strategy": "bottleneck", **_WHOLE},
    {"strategy": "qlora", **_WHOLE},
    *([{"strategy": "full", "train__precision": NARROW, **_WHOLE}] if find_spec("optimi") else []),
]

_BY_THE_FIRST = {"save", "resume", "export", "evaluation: result"}
"""Phases of a whole model, which the first process keeps alone."""


def divided(ranks: int, **changes: Any) -> TraceJob:
    shared = {"train__world_size": ranks, "train__sharding": "fsdp", "train__batch_size": 4 * ranks}
    return trace_job(**{**shared, **changes})


def components(job: TraceJob, phase: str) -> dict[str, int]:
    return next(one.components for one in trace(job).phases if one.phase == phase)


@pytest.mark.slow
def test_each_process_holds_its_part() -> None:
    alone = components(trace_job(strategy="full"), "optimiser step")
    part = components(divided(4, strategy="full"), "optimiser step")
    for held in ("weights", "gradients", "optimiser state"):
        assert part[held] == pytest.approx(alone[held] / 4, rel=0.02)
    layers = components(divided(4, strategy="full"), "forward: layers")
    assert layers["gathered weights"] < alone["weights"], "two layers and what is outside, not all"


@pytest.mark.slow
def test_each_process_holds_its_part_of_the_copy_of_its_machine() -> None:
    machines = {"train__sharding": "hsdp", "train__nodes": 2, "strategy": "full"}
    jobs = divided(4, **machines), divided(2, strategy="full")
    of_two_machines, of_one = (components(job, "optimiser step") for job in jobs)
    for held in ("weights", "gradients", "optimiser state"):
        assert of_two_machines[held] == of_one[held], "another machine divides nothing"


def test_frozen_layers_at_the_beginning_are_followed() -> None:
    """torch gathers them for the backward pass, which ends before."""
    held = components(divided(2, strategy="partial"), "optimiser step")
    assert held["optimiser state"] < held["weights"]


@pytest.mark.slow
def test_parts_with_the_host_take_nothing_of_the_device() -> None:
    held = components(divided(2, strategy="full", train__offload="cpu"), "optimiser step")
    assert not held.keys() & {"weights", "gradients", "optimiser state"}


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["fsdp", "ddp"])
def test_a_few_layers_stand_for_all(sharding: str) -> None:
    shared = {"train__sharding": sharding}
    few = trace(divided(4, **shared))
    depths = (12,)
    all_of_them = peaks(log_of(divided(4, device=PROCESSOR, **shared), depths, whole_groups(depths)))
    stretched = trace(divided(4, device=PROCESSOR, **shared))
    assert few.traced_layers == stretched.traced_layers == 5
    assert {one.phase: one.peak_bytes for one in stretched.phases} == {
        name: one.size for name, one in all_of_them.items()
    }


@pytest.mark.slow
def test_real_processes_hold_the_same(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, "llama")
    in_session = "FTC_SHARDING" in os.environ
    require_same(tmp_path, [*_WAYS, *_WAYS_WHOLE] if in_session else [*_WAYS[:2], *_WAYS_WHOLE[:2]])


@pytest.mark.skipif("FTC_SHARDING" not in os.environ, reason="has its own session: nox -s sharding")
def test_real_processes_of_two_machines_hold_the_same(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, "llama")
    machines = {"train__sharding": "hsdp", "train__nodes": 2}
    half = {"strategy": "lora", "train__precision": "bfloat16"}
    adding_up = {"strategy": "full", "train__batch_size": 32}
    require_same(tmp_path, [{**machines, **way} for way in (half, adding_up)], processes=4)


@pytest.mark.skipif("FTC_SHARDING" not in os.environ, reason="has its own session: nox -s sharding")
def test_gradients_of_many_buckets(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    write_tiny_model(tmp_path, "llama")
    config = AutoConfig.from_pretrained(tmp_path)
    config.vocab_size = 260_000  # 32 MiB of float32, where a bucket takes 25
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    require_same(tmp_path, _WAYS_WHOLE[:1])


@pytest.mark.slow
def test_real_processes_leave_packed_layers_alone(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "llama", "llama")
    folder, _ = packed_copies(tmp_path / "llama", "gptq")
    said = json.loads((folder / "config.json").read_text())["quantization_config"]
    _, packed = packed_layers(read_weights(folder, folder).tensors, packing_of(said, "gptq"))
    require_same(folder, [{"strategy": "lora", "model__packed": packed, **_WHOLE}])


def require_same(folder: Path, ways: list[dict[str, Any]], *, processes: int = 2) -> None:
    """Real processes hold as much as the trace says, in every phase but those in which batches are made."""
    config = json.loads((folder / "config.json").read_text())
    shape = BatchShape(length=20, supervised=7, padded=False)
    alike = {"config": config, "device": PROCESSOR, "shape": shape, "num_modules": 4, "model__attention": "eager"}
    jobs = [divided(processes, **alike, **way) for way in ways]
    for way, job, real in zip(ways, jobs, in_processes(folder, jobs, processes), strict=True):
        without = {name: peak.size for name, peak in peaks(log_of(job, (2,), whole_groups((2,)))).items()}
        assert without.keys() - _BY_THE_FIRST == real.keys() - _BY_THE_FIRST
        apart = {name: without[name] - real[name] for name in real.keys() - OF_THE_HOST}
        # optimi counts the steps of matrices and of the rest in host RAM, which a process on a CPU has as well.
        counters = {-2 * 512} if way.get("train__precision") == NARROW else set[int]()
        assert set(apart.values()) <= {0, *counters}, (way, apart)


def in_processes(folder: Path, jobs: list[TraceJob], processes: int) -> list[dict[str, int]]:
    """The peaks of each job by phase."""
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)),
            *("--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-backend", "c10d"),
            *("--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
            *("-m", "tests.runtime.memory_trace.parts_child", str(folder)),
            *(job.model_dump_json(by_alias=True) for job in jobs),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    found: list[dict[str, int]] = json.loads(launched.stdout.splitlines()[-1])
    return found
