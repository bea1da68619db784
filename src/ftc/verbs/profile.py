"""`ftc run profile RUN`: where the time of a run's training steps goes."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.step_parts import IDLE, INPUT, PYTHON
from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.paths import RunFolder
from ftc.spec.version import VERSION
from ftc.verbs.merge import inputs_of
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.runtime.inspection.profile import Measured
    from ftc.spec.diagnostics import Diagnostic
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.profiled import Operation, ProfiledRun, Share

__all__ = ["STEPS", "Profiled", "profile"]

STEPS = 3
"""Steps that are measured."""
_WARM_UP = 2
_MOST_OPERATIONS = 40
_MUCH_INPUT, _MUCH_PYTHON, _MUCH_IDLE = 10, 30, 20
"""Percent of a step from which on a cause is named."""


@dataclass(frozen=True, slots=True)
class Profiled:
    """Where time goes.

    Attributes:
        run: The run.
        report: What was measured.
    """

    run: Run
    report: ProfiledRun


def profile(
    run: Run | Path | str,
    *,
    steps: int = STEPS,
    trace: Path | str | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Profiled:
    """Trains a run's first steps once more under PyTorch's profiler, beside the run, which stays as it is.

    Args:
        run: The run, finished or not, its folder, its id or the beginning of that, or its recipe's name.
        steps: Steps that are measured, after two that are not.
        trace: File for the timeline, which Perfetto and Chrome show; `.gz` at its end compresses it.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: The run can't be profiled (FTC781), its models or its rows as tokens are not here (FTC660, FTC690), or
            are others than the plan's (FTC620, FTC621, FTC630), or its judge gave no grade to answers of these steps
            as they are written here (FTC457).
        OSError: The trace can't be written.
    """
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    plan = found.plan
    _require_steps(found, steps)
    from ftc.compiler.audit.locate import companion_folders, missing_models

    base, streams, _ = inputs_of(found)
    companions = companion_folders(plan, found.root)
    if missing := missing_models(plan, base, companions):
        help = "put them where the recipe says"
        raise Refusal([_refused(found, f"models that are not here: {', '.join(missing)}", help)])
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.inspection.profile import measure

    known = RunFolder(found.folder)  # with a server's answers and a judge's grades, so that nobody is asked or paid
    inputs = Inputs(
        base,
        streams,
        found.record.observed.environment,
        companions=companions,
        recorded=known.answers,
        asks_judge=False,
    )
    with tempfile.TemporaryDirectory(prefix="ftc-profile-", ignore_cleanup_errors=True) as scratch:
        place = Path(scratch) / "run"
        place.mkdir()
        if known.judged.is_file():
            shutil.copyfile(known.judged, RunFolder(place).judged)
        file = Path(scratch) / Path(trace).name if trace is not None else None
        measured = measure(plan, inputs, place, _WARM_UP, steps, file, on_event or (lambda event: None))
        if file is not None and trace is not None:
            write_file(Path(trace), file.read_bytes())
    return Profiled(found, _report(found, measured, steps))


def _require_steps(run: Run, steps: int) -> None:
    """Lets pass a run that one process can repeat, with enough steps.

    Raises:
        Refusal: FTC781.
    """
    train = run.plan.settings.train
    if run.is_pulled:
        raise Refusal([_refused(run, "it was pulled, without its rows", "profile a run of your own")])
    if train.world_size > 1:
        why = f"its {train.world_size} processes exchange gradients, and this command is one process"
        raise Refusal([_refused(run, why, "plan the recipe with `--set budget.devices=1`, and profile that run")])
    if train.num_steps < _WARM_UP + steps:
        why = f"it has {train.num_steps} steps, and {_WARM_UP} are done before {steps} are measured"
        help = (
            f"measure fewer with `--steps {left}`" if (left := train.num_steps - _WARM_UP) > 0 else "train for longer"
        )
        raise Refusal([_refused(run, why, help)])


def _refused(run: Run, why: str, help: str) -> Diagnostic:
    return diagnostic("FTC781", f"run `{run.record.id}` can't be profiled", notes=why, help=help)


def _report(run: Run, measured: Measured, steps: int) -> ProfiledRun:
    from ftc.compiler.resolve.machine.local import cpu_label
    from ftc.spec.documents.profiled import ProfiledRun

    plan, shares = run.plan, tuple(_shares(measured, steps))
    return ProfiledRun(
        ftc_version=VERSION,
        torch_version=version("torch"),
        run_id=run.record.id,
        name=plan.name,
        device=measured.device or cpu_label(),
        is_gpu=measured.kernels is not None,
        warm_up=_WARM_UP,
        steps=steps,
        tokens=measured.tokens / steps,
        seconds=measured.seconds / steps,
        usual_seconds=measured.usual_seconds,
        planned_seconds=_planned(plan),
        shares=shares,
        operations=tuple(_a_step(one, steps) for one in measured.operations[:_MOST_OPERATIONS]),
        kernels=None if measured.kernels is None else measured.kernels / steps,
        notes=tuple(_notes(measured, shares, steps)),
    )


def _planned(plan: Plan) -> float | None:
    """Expected seconds of a step; None where the plan has no estimate."""
    phases = plan.time.phases if plan.time is not None else ()
    expected = next((one.seconds.expected for one in phases if one.phase == "train"), None)
    return None if expected is None else float(expected) / plan.settings.train.num_steps


def _a_step(one: Operation, steps: int) -> Operation:
    return one.model_copy(update={"seconds": float(one.seconds) / steps, "calls": float(one.calls) / steps})


def _shares(measured: Measured, steps: int) -> Iterator[Share]:
    """Parts of a step, which add up to the whole; the largest first.

    What is left is Python's time between operations, or that in which a GPU does nothing. Where operations of several
    threads together take longer than the step, nothing is left.
    """
    from ftc.spec.documents.profiled import Share

    parts = defaultdict[str, float](float)
    for one in measured.operations:
        parts[one.part] += float(one.seconds)
    working = measured.seconds - measured.input_seconds
    if (spent := sum(parts.values())) > working:
        parts.update({name: seconds * working / spent for name, seconds in parts.items()})
    else:
        parts[(PYTHON if measured.kernels is None else IDLE).name] += working - spent
    parts[INPUT.name] += measured.input_seconds
    for name, seconds in sorted(parts.items(), key=lambda one: -one[1]):
        yield Share(part=name, seconds=seconds / steps)


def _notes(measured: Measured, shares: tuple[Share, ...], steps: int) -> Iterator[str]:
    """What makes steps slow, each with what can be done."""
    percent = {one.part: 100 * float(one.seconds) * steps / measured.seconds for one in shares}
    if (much := percent.get(INPUT.name, 0.0)) > _MUCH_INPUT:
        yield (
            f"slow input: fetching rows takes {much:.0f} % of a step. Where the model writes answers to train on, that "
            "is writing; else put the project on a faster disk."
        )
    if (much := percent.get(PYTHON.name, 0.0)) > _MUCH_PYTHON:
        yield (
            f"small operations: {much:.0f} % of a step is Python between them. A larger `train.micro_batch`, or "
            "`train.packing` for short rows, makes each operation do more."
        )
    if (much := percent.get(IDLE.name, 0.0)) > _MUCH_IDLE:
        kernels = f"{(measured.kernels or 0) / steps:,.0f}"
        yield (
            f"launch-bound: the GPU does nothing for {much:.0f} % of a step, which has {kernels} kernels. A larger "
            "`train.micro_batch`, or `train.packing` for short rows, makes each kernel do more; "
            "`train.activation_checkpointing: false`, where memory allows, launches fewer."
        )
