"""A plan's first steps under PyTorch's profiler, in a scratch folder: the run itself is not touched."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ftc.runtime.execution.accelerator import make_accelerator
from ftc.runtime.execution.execute import Inputs
from ftc.runtime.execution.session import Session, open_session
from ftc.runtime.execution.verify import verify_inputs
from ftc.runtime.training.loop import training_steps
from ftc.runtime.training.seeding import deterministic
from ftc.runtime.training.signals import stop_on_signals
from ftc.runtime.training.train import make_job
from ftc.spec.documents.events import EventListener, StepDone
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.profiled import Operation
from ftc.spec.step_parts import part_of
from ftc.spec.storage.paths import RunFolder

__all__ = ["Measured", "measure"]

_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Measured:
    """What the profiler saw.

    Attributes:
        device: Name of the GPU; None for a CPU.
        seconds: Of all measured steps, with their input.
        usual_seconds: Of the last step before, which nobody watched.
        input_seconds: What fetching rows took of `seconds`.
        tokens: Of all measured steps.
        operations: Each operation, or each kernel of a GPU, with its seconds and calls over all measured steps.
        kernels: Kernels that a GPU ran; None on a CPU.
    """

    device: str | None
    seconds: float
    usual_seconds: float
    input_seconds: float
    tokens: int
    operations: tuple[Operation, ...]
    kernels: int | None


def measure(
    plan: Plan, inputs: Inputs, scratch: Path, warm_up: int, steps: int, trace: Path | None, listen: EventListener
) -> Measured:
    """Trains the plan's first steps once more, the last of them under the profiler.

    Args:
        plan: A run's plan.
        inputs: Where its models and its token streams are.
        scratch: An empty folder.
        warm_up: Steps before, at least one: the first ones allocate memory and choose kernels.
        steps: Steps that are measured.
        trace: File for the timeline that Perfetto and Chrome show, compressed where its name ends in `.gz`.
        listen: Called with each event.

    Raises:
        Refusal: An input is not the plan's (FTC620, FTC621, FTC630), or a loss is not finite (FTC626).
        KeyboardInterrupt: Somebody asked to stop.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler talks to the terminal
    verify_inputs(plan, inputs)
    with stop_on_signals(lambda _: None) as stop, deterministic(plan.settings):
        accelerator = make_accelerator(plan.settings)
        with open_session(plan, inputs, RunFolder(scratch), listen, accelerator, stop) as session:
            work = session.build()
            job = make_job(session, work)
            job.model.train()
            walk = training_steps(job, 0)
            usual = 0.0
            with session.journal.phase("train", f"{warm_up + steps} steps under the profiler"):
                for _ in range(warm_up):
                    usual, _ = _timed(walk, session)
                is_gpu = accelerator.device.type == "cuda"
                activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
                with profile(activities=activities) as seen:
                    done = [_timed(walk, session) for _ in range(steps)]
            if trace is not None:
                seen.export_chrome_trace(str(trace))
            operations = tuple(_operations(seen, is_gpu=is_gpu))
            seconds = sum(whole for whole, _ in done)
            return Measured(
                device=torch.cuda.get_device_name(accelerator.device) if is_gpu else None,
                seconds=seconds,
                usual_seconds=usual,
                input_seconds=max(0.0, seconds - sum(step.seconds for _, step in done)),
                tokens=sum(step.tokens for _, step in done),
                operations=operations,
                kernels=int(sum(one.calls for one in operations)) if is_gpu else None,
            )


def _timed(walk: Iterator[StepDone], session: Session) -> tuple[float, StepDone]:
    """The next step, and the seconds until the device has done it."""
    session.stop.check()
    started = time.perf_counter()
    done = next(walk)
    if session.accelerator.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, done


def _operations(seen: Any, *, is_gpu: bool) -> Iterator[Operation]:
    """Operations of a CPU, or kernels of a GPU, by name; the most expensive first."""
    seconds, calls = Counter[str](), Counter[str]()
    for one in seen.key_averages():
        is_kernel = str(one.device_type).endswith("CUDA")
        if is_kernel == is_gpu:
            spent = one.self_device_time_total if is_gpu else one.self_cpu_time_total
            seconds[one.key] += spent * _MICRO
            calls[one.key] += one.count
    for name, spent in seconds.most_common():
        if spent > 0:
            yield Operation(name=name, part=part_of(name).name, seconds=spent, calls=calls[name])
