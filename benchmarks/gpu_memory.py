"""Memory of real training steps on a card, phase by phase, beside what was predicted before they ran.

    python benchmarks/gpu_memory.py [--out FILE] [--only WORD]

Predicts every job first and writes the predictions down, then takes the steps: random weights of a public model's
sizes, loaded from files as a run loads them, the run's own loop, two optimiser steps of two micro-batches. Measured are
torch's largest allocation in each phase, what its allocator holds at most, and what the driver counts for the process.
Without a CUDA device it says what it would measure, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.meta_model import depths_of, model_config
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.memory_trace.whole import whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.memory_trace import TraceDevice, TraceJob, TraceResult
from tests.support.grid import GRID, grid_facts, grid_job

_MODELS = ("SmolLM2-360M", "Qwen2.5-1.5B", "Qwen3-1.7B", "GPT-2", "BERT-base", "T5-base")
_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class Case:
    """A recipe in a few words: a model, a strategy, and whether activations are recomputed."""

    model: str
    strategy: str
    recomputing: bool

    def __str__(self) -> str:
        return f"{self.model} {self.strategy}{' recomputing' if self.recomputing else ''}"


CASES = [Case(name, kind, kept) for name in _MODELS for kind in ("lora", "qlora", "full") for kept in (False, True)]


def main() -> None:
    """Predicts, and measures where there is a card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="file for predictions and measurements, as JSON")
    parser.add_argument("--only", default="", help="the case of this name, or those whose name holds it")
    arguments = parser.parse_args()
    named = [case for case in CASES if arguments.only == str(case)]
    cases = named or [case for case in CASES if arguments.only in str(case)]
    has_card = torch.cuda.is_available()
    if not has_card:
        print(f"no CUDA device: these {len(cases)} jobs would be measured, predicted here for a card of capability 8.0")
    results = []
    for case in cases:
        job = _job(case, torch.cuda.get_device_capability() if has_card else (8, 0))
        predicted = trace(job)
        results.append({"case": str(case), "predicted": predicted.to_json()})
        print(f"{case!s:32} {_gib(predicted.allocated_bytes)} in {predicted.peak.phase}", flush=True)
    _keep(arguments.out, results)
    if has_card:
        for case, result in zip(cases, results, strict=True):
            result["measured"] = _in_a_process_of_its_own(case)
            _keep(arguments.out, results)
            _print_beside(case, result)


def _job(case: Case, capability: tuple[int, int]) -> TraceJob:
    job = grid_job(grid_facts(GRID[case.model]), case.strategy, case.recomputing)
    device = TraceDevice(kind="cuda", capability=capability, expandable_segments=True)
    return job.model_copy(update={"device": device, "evaluation": None})


def _in_a_process_of_its_own(case: Case) -> dict[str, Any]:
    """The measurement of a fresh process, whose memory is the job's alone."""
    environment = {**os.environ, "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    command = [sys.executable, __file__, "--measure", case.model, case.strategy, str(int(case.recomputing))]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"problem": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure(case: Case, device: torch.device) -> dict[str, Any]:
    """Takes the steps on a device, and tells what they took."""
    job = _job(case, torch.cuda.get_device_capability())
    groups = whole_groups(depths_of(model_config(job.config)))
    with tempfile.TemporaryDirectory() as folder:
        _write_random_weights(job, Path(folder))
        model = build_model(job.settings, FolderBase(Path(folder)), device)
    phases: dict[str, int] = {"load": torch.cuda.max_memory_allocated()}
    with _watched(phases):
        run_steps(job, model, groups, device)
    return {
        "phases": phases,
        "allocated": max(phases.values()),
        "reserved": torch.cuda.max_memory_reserved(),
        "process": _of_process(),
        "device": torch.cuda.get_device_name(),
        "versions": {library: version(library) for library in _LIBRARIES},
    }


@contextmanager
def _watched(phases: dict[str, int]) -> Iterator[None]:
    """Reads torch's largest allocation whenever a section of the log begins; storages are not counted."""
    current = "load"

    def section(tracker: StorageTracker, name: str, group: int | None = None) -> None:
        nonlocal current
        torch.cuda.synchronize()
        phases[current] = max(phases.get(current, 0), torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        current = name
        begin(tracker, name, group)

    begin = StorageTracker.section
    with mock.patch.object(StorageTracker, "section", section):
        yield
    phases[current] = max(phases.get(current, 0), torch.cuda.max_memory_allocated())


def _write_random_weights(job: TraceJob, folder: Path) -> None:
    from ftc.runtime.models.base_model import auto_class, head_options

    config = model_config(job.config)
    for key, value in head_options(job.settings).items():
        setattr(config, key, value)
    auto_class(job.settings).from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


def _of_process() -> int:
    """What the driver counts for this process, in bytes."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    used = dict(line.split(", ") for line in lines)
    return int(used.get(str(os.getpid()), 0)) * 2**20


def _keep(file: Path | None, results: list[dict[str, Any]]) -> None:
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _print_beside(case: Case, result: dict[str, Any]) -> None:
    measured = result["measured"]
    if "problem" in measured:
        print(f"{case!s:32} {measured['problem']}")
        return
    predicted = TraceResult.model_validate_json(json.dumps(result["predicted"]))
    gap = 100 * (predicted.allocated_bytes / measured["allocated"] - 1)
    print(f"{case!s:32} {_gib(measured['allocated'])} measured, {gap:+.2f} %")


def _gib(size: int) -> str:
    return f"{size / 2**30:8.3f} GiB"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        name, strategy, recomputing = sys.argv[2:]
        print(json.dumps(measure(Case(name, strategy, bool(int(recomputing))), torch.device("cuda"))))
    else:
        main()
