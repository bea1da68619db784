"""The parts of `benchmarks/gpu.py`: each makes a project, uses ftc on it as a user does, and says what was measured."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import GIB
from benchmarks.support.gpu_projects import FTC, ROOT, Job, Machine, environment, ftc_says, make_project
from ftc.spec.devices import CARDS
from ftc.spec.documents.events import Noticed, StepDone, read_events, without_repeats
from ftc.spec.documents.memory_trace import TraceResult
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

__all__ = ["PARTS", "Machine", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure, and the most seconds that it may take."""

    name: str
    seconds: float
    measure: Callable[[Machine], dict[str, Any]]


def _calibrate(machine: Machine) -> dict[str, Any]:
    done = ftc_says(machine, "device", "calibrate", "--json")
    found: dict[str, Any] = json.loads(done)
    return {key: found["measured"][key] for key in ("flops", "bandwidth", "operation_seconds")}


def _run_of(job: Job) -> Callable[[Machine], dict[str, Any]]:
    """Plans and runs a job; memory and time by phase beside the plan, speed of the later half of the steps."""

    def measure(machine: Machine) -> dict[str, Any]:
        project = make_project(machine, job, "run")
        with _power(machine) as watts:
            record, plan = _applied(machine, project)
        figures = _figures(record, plan, _steps(project))
        if noticed := _noticed(project):
            figures["noticed"] = noticed
        return {**figures, "watts": round(statistics.mean(watts))} if watts else figures

    return measure


def _repeats_of(job: Job) -> Callable[[Machine], dict[str, Any]]:
    """Whether two runs of a job give the same bits, and what the plan had promised."""

    def measure(machine: Machine) -> dict[str, Any]:
        found = [_applied(machine, make_project(machine, job, name)) for name in ("first", "second")]
        (first, plan), (second, _) = found
        return {
            "planned": plan.settings.train.determinism.to_json(),
            "shown": first.determinism.to_json(),
            "kernels": ", ".join(plan.settings.train.kernels) or "torch",
            "attention": plan.settings.model.attention,
            "same_weights": first.final_weights_sha256 == second.final_weights_sha256,
        }

    return measure


def _answers(machine: Machine) -> dict[str, Any]:
    """How fast answers are written, by the base and by what was trained; each word of theirs is a token."""
    project = make_project(machine, Job("1.5B", "lora", 512, steps=2, answered=64), "answers")
    record, plan = _applied(machine, project)
    (file,) = (project / "runs").rglob("predictions.ndjson")
    rows = [Outcome.model_validate_json(line) for line in file.read_bytes().splitlines()]
    written = sum(len(said.text.split()) for row in rows for said in (row.base, row.tuned) if said and said.text)
    seconds = next(float(one.seconds) for one in record.time_by_phase if one.phase == "evaluate")
    return {
        "answers": 2 * len(rows),
        "batch_size": plan.settings.eval.batch_size,
        "tokens": written,
        "seconds": round(seconds, 2),
        "tokens_a_second": round(written / seconds),
    }


def _killed(machine: Machine) -> dict[str, Any]:
    """A run that is killed behind a checkpoint and continued, beside one that nothing disturbed."""
    job = Job("0.5B", "lora", 512, steps=60, checkpoints=30)
    whole, _ = _applied(machine, make_project(machine, job, "whole"))
    project = make_project(machine, job, "killed")
    _plan(machine, project)
    process = _start(machine, project)
    while process.poll() is None and len(_steps(project)) < 3:
        time.sleep(0.05)
    was_killed = process.poll() is None
    process.kill()
    process.wait()
    resumed, _ = _applied(machine, project)
    return {
        "killed": was_killed,
        "segments": len(resumed.segments),
        "same_weights": whole.final_weights_sha256 == resumed.final_weights_sha256,
    }


def _replayed(machine: Machine) -> dict[str, Any]:
    """What `ftc audit --level replay` says of a run on the machine that made it."""
    project = make_project(machine, Job("0.5B", "lora", 512, steps=8), "first")
    if not list((project / "runs").rglob("record.json")):
        _applied(machine, project)
    run = next((project / "runs").rglob("record.json")).parent.name
    done = subprocess.run(
        [*FTC, "audit", run, "--level", "replay", "--json"],
        cwd=project, env=environment(machine), check=False, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout) if done.stdout.startswith("{") else {"problem": done.stderr[-300:]}
    return {"exit": done.returncode, **{key: found[key] for key in ("verdict", "problem") if key in found}}


def _without_memory(machine: Machine) -> dict[str, Any]:
    """How a run ends whose memory another process took: by a finding with a code, in seconds, without a traceback."""
    job = Job("0.5B", "full", 2048, steps=4)
    project = make_project(machine, job, "short of memory")
    _plan(machine, project)
    with _occupied(machine):
        done = subprocess.run(
            [*FTC, "apply", "plan.json", "--yes"],
            cwd=project, env=environment(machine), check=False, capture_output=True, text=True,
        )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "FTC" in line]
    return {"exit": done.returncode, "traceback": "Traceback" in done.stderr, "finding": lines[0] if lines else ""}


def _memory_of(case: str) -> Callable[[Machine], dict[str, Any]]:
    """One job of `gpu_memory.py`: torch's counters in each phase beside the trace."""

    def measure(machine: Machine) -> dict[str, Any]:
        file = machine.work / "memory.json"
        command = [sys.executable, str(ROOT / "benchmarks" / "gpu_memory.py"), "--only", case, "--out", str(file)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(machine))
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        found = next(one for one in json.loads(file.read_text(encoding="utf-8")) if one["case"] == case)
        predicted = TraceResult.model_validate_json(json.dumps(found["predicted"])).allocated_bytes
        measured: dict[str, Any] = found.get("measured", {})
        if "problem" in measured:
            raise RuntimeError(measured["problem"])
        gap = (
            {"gap_percent": round(100 * (predicted / measured["allocated"] - 1), 2)} if "allocated" in measured else {}
        )
        return {"predicted": predicted, **gap, **measured}

    return measure


def _figures(record: RunRecord, plan: Plan, steps: Sequence[StepDone]) -> dict[str, Any]:
    """Memory and time by phase as planned and as measured; tokens a second and MFU of the later half of the steps."""
    later = steps[len(steps) // 2 :]
    seconds, tokens = sum(step.seconds for step in later), sum(step.tokens for step in later)
    known: dict[str, Any] = {
        "peak_planned": plan.memory.process.to_json(),
        "peak_measured": record.peak_memory_bytes,
        "memory_method": record.memory_method,
        "memory_by_phase": [phase.to_json() for phase in record.memory_by_phase],
        "time_by_phase": [phase.to_json() for phase in record.time_by_phase],
        "tokens_a_second": round(tokens / seconds),
        "first_step_seconds": round(steps[0].seconds, 2),
        "kernels": ", ".join(plan.settings.train.kernels) or "torch",
        "compiled": plan.settings.train.compile,
        "checkpointing": plan.settings.train.activation_checkpointing,
    }
    card = next((card for card in CARDS.values() if card.label == plan.device.label), None)
    work = plan.work.phases.get("train") if plan.work else None
    if card is not None and card.half and work is not None:
        known["mfu"] = round(work.flops * tokens / sum(step.tokens for step in steps) / seconds / card.half / 10**12, 4)
    return known


def _applied(machine: Machine, project: Path) -> tuple[RunRecord, Plan]:
    """Plans and applies; the record and the plan."""
    _plan(machine, project)
    process = _start(machine, project)
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"apply ended with {process.returncode}: {errors[-800:]}")
    file = max((project / "runs").rglob("record.json"), key=lambda file: file.stat().st_mtime)
    plan = Plan.model_validate_json((project / "plan.json").read_bytes())
    return RunRecord.model_validate_json(file.read_bytes()), plan


def _plan(machine: Machine, project: Path) -> None:
    if not (project / "plan.json").exists():
        ftc_says(machine, "plan", "recipe.yaml", "-o", "plan.json", folder=project)


def _start(machine: Machine, project: Path) -> subprocess.Popen[str]:
    command = [*FTC, "apply", "plan.json", "--yes"]
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment(machine), **streams)


def _noticed(project: Path) -> str:
    """What a project's newest run did otherwise than planned, such as layers that stayed uncompiled."""
    files = sorted((project / "runs").rglob("events.ndjson"), key=lambda file: file.stat().st_mtime)
    events = read_events(files[-1]) if files else ()
    return "; ".join(f"{one.code} {one.text}" for one in events if isinstance(one, Noticed))


def _steps(project: Path) -> tuple[StepDone, ...]:
    """The steps of a project's newest run so far, each once."""
    files = sorted((project / "runs").rglob("events.ndjson"), key=lambda file: file.stat().st_mtime)
    return without_repeats(read_events(files[-1]))[0] if files else ()


@contextmanager
def _power(machine: Machine) -> Iterator[list[float]]:
    """What the driver says the card draws, in watts, once a second while the block runs; nothing on a CPU."""
    watts: list[float] = []
    if machine.is_tiny:
        yield watts
        return
    query = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--loop=1"]
    process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    try:
        yield watts
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
        watts.extend(float(line) for line in output.split() if line.replace(".", "", 1).isdigit())


@contextmanager
def _occupied(machine: Machine) -> Iterator[None]:
    """Leaves two GiB of the card's memory to others while the block runs; takes nothing on a CPU."""
    if machine.is_tiny:
        yield
        return
    code = (
        f"import torch; free = torch.cuda.mem_get_info()[0] - 2 * {GIB}\n"
        "held = torch.empty(free, dtype=torch.uint8, device='cuda'); print('held', flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.kill()
        holder.wait()


_SPEED = [
    Job("0.5B", "lora", 2048, evaluated=True),
    Job("8B", "lora", 4096, packed=True),
    Job("8B", "qlora", 2048),
    Job("1.5B", "full", 2048),
    Job("0.5B", "lora", 2048, packed=True),
    Job("0.5B", "full", 2048, packed=True),
    Job("1.5B", "qlora", 2048),
    Job("1.5B", "lora", 8192),
    Job("8B", "lora", 2048),
    Job("8B", "lora", 8192),
    Job("0.5B", "qlora", 8192),
    Job("8B", "full", 4096, packed=True, steps=6),
]
_WAYS = [
    Job(*job, packed=True, train=(line,))
    for job in (("0.5B", "lora", 2048), ("8B", "lora", 4096), ("1.5B", "full", 2048))
    for line in ("kernels: torch", "kernels: liger", "compile: true", "activation_checkpointing: selective")
]
"""Ways to compute the same steps: torch's own kernels, fused ones, compiled layers, and what is kept of activations."""
_REPEATED = Job("0.5B", "lora", 512, steps=8)
_OTHER_REPEATED = [
    Job("0.5B", "lora", 512, packed=True, steps=8, train=("kernels: torch",)),
    Job("0.5B", "lora", 512, packed=True, steps=8, train=("kernels: liger",)),
    Job("0.5B", "lora", 512, packed=True, steps=8, train=("compile: true",)),
    Job("0.5B", "full", 512, steps=8),
    Job("0.5B", "qlora", 512, steps=8),
]
"""Kernels of which the plan says whether they give the same bits again."""
_MEMORY = [
    f"{model} {strategy}{kept}"
    for model in ("SmolLM2-360M", "Qwen2.5-1.5B", "Qwen3-1.7B", "GPT-2", "BERT-base", "T5-base")
    for strategy in ("lora", "qlora", "full")
    for kept in ("", " recomputing")
]

PARTS: tuple[Part, ...] = (
    Part("calibrate", 120, _calibrate),
    Part(f"run {_SPEED[0]}", 240, _run_of(_SPEED[0])),
    Part("repeat", 240, _repeats_of(_REPEATED)),
    Part("kill and resume", 240, _killed),
    *(Part(f"memory {case}", 120, _memory_of(case)) for case in _MEMORY[:6]),
    *(Part(f"run {job}", 480, _run_of(job)) for job in _SPEED[1:4]),
    *(Part(f"run {job}", 480, _run_of(job)) for job in _WAYS[:4]),
    Part("replay", 240, _replayed),
    Part("out of memory", 180, _without_memory),
    Part("answers", 300, _answers),
    *(Part(f"repeat {job}", 240, _repeats_of(job)) for job in _OTHER_REPEATED),
    *(Part(f"run {job}", 480, _run_of(job)) for job in (*_WAYS[4:], *_SPEED[4:])),
    *(Part(f"memory {case}", 120, _memory_of(case)) for case in _MEMORY[6:]),
)
"""By worth: what is measured first counts most."""
