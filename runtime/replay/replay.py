"""Some of a plan's steps done once more: `python -m ftc.runtime.replay.replay REQUEST`, answers on standard output.

It runs in a fresh process, so that nothing which an earlier run left in memory can make two runs alike. What it trains
comes from the same code as a run's training; it only begins where it is told and writes nothing but to its scratch
folder. Answers are lines of JSON: the machine, the ladder as it is climbed, and how it ended.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ftc.runtime.execution.execute import expand_segments, let_threads_sleep
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.audit import MachineSeen, ReplayOver, ReplayRefused, ReplayRequest
from ftc.spec.documents.step_log import line_text, parse_line
from ftc.spec.schedules import schedule_card
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftc.runtime.execution.inputs import Inputs

__all__ = ["main"]

Tell = Callable[[Document], None]


def main() -> int:
    """Does what the file named by the first argument asks for."""
    answers = _own_output()
    let_threads_sleep()
    warnings.simplefilter("ignore")
    is_first = os.environ.get("RANK", "0") == "0"

    def tell(answer: Document) -> None:
        if is_first:
            answers.write(line_text(answer))
            answers.flush()

    request = ReplayRequest.model_validate_json(Path(sys.argv[1]).read_bytes())
    expand_segments(request.plan)
    try:
        _replay(request, tell)
    except Refusal as refusal:
        first = refusal.diagnostics[0]
        tell(ReplayRefused(code=first.code, summary=first.summary, notes=first.notes, help=first.help))
    else:
        tell(ReplayOver())
    return 0


def _own_output() -> BinaryIO:
    """Standard output for answers alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _replay(request: ReplayRequest, tell: Tell) -> None:
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.execution.inputs import Inputs
    from ftc.runtime.execution.machine import machine_class
    from ftc.runtime.execution.verify import verify_inputs
    from ftc.runtime.training.seeding import deterministic

    settings = request.plan.settings
    inputs = Inputs(
        Path(request.model_folder),
        Path(request.streams_folder),
        request.environment,
        companions={role: Path(folder) for role, folder in request.companion_folders.items()},
    )
    with deterministic(settings, threads=request.threads):
        accelerator = make_accelerator(settings)
        found = machine_class(accelerator.device, accelerator.num_processes)
        tell(MachineSeen(machine=found))
        if request.expected is not None and found != request.expected:
            return
        verify_inputs(request.plan, inputs)
        (_run_all if request.whole else _train_some)(request, inputs, accelerator, tell)


def _train_some(request: ReplayRequest, inputs: Inputs, accelerator: Accelerator, tell: Tell) -> None:
    """Training alone, from a rung to a step."""
    from ftc.runtime.artifacts import checkpoint
    from ftc.runtime.evaluation.scoring import learn_references
    from ftc.runtime.execution.session import open_session
    from ftc.runtime.training.hooks import Training, rung, step_line, validate
    from ftc.runtime.training.loop import training_steps
    from ftc.runtime.training.signals import StopRequest
    from ftc.runtime.training.train import make_job, restored

    with open_session(
        request.plan, inputs, RunFolder(Path(request.scratch)), lambda event: None, accelerator, StopRequest()
    ) as session:
        found = None
        if request.checkpoints is not None:
            damage: list[str] = []
            found = checkpoint.verified(
                Path(request.checkpoints),
                request.first_step,
                session.job_sha256,
                lambda finding: damage.append(finding.summary),
            )
            if found is None:
                raise Refusal([_no_foothold(request.first_step, damage)])
        work = session.build()
        job = make_job(session, work)
        training = Training(session, job, restored(session, work, job, found))
        asks_validation = schedule_card(job.train.schedule.kind).watches_validation
        if asks_validation:
            session.trained = work
            learn_references(session, work, "validation")
        tell(rung(request.first_step, job))
        job.model.train()
        for done in training_steps(job, request.first_step):
            tell(step_line(done, job))
            if asks_validation:  # the next step's rate hangs on it
                validate(training, done)
            if done.step in request.rungs or done.step == request.last_step:
                tell(rung(done.step, job))
            if done.step == request.last_step:
                break


def _run_all(request: ReplayRequest, inputs: Inputs, accelerator: Accelerator, tell: Tell) -> None:  # noqa: ARG001
    """The whole plan, in a run's folder of its own; the ladder is handed on as it grows."""
    from ftc.runtime.execution.execute import execute

    plan = request.plan
    if request.threads is not None:
        device = plan.settings.device.model_copy(update={"threads": request.threads})
        plan = plan.model_copy(update={"settings": plan.settings.model_copy(update={"device": device})}).sealed()
    folder = RunFolder(Path(request.scratch))
    tail = _Tail(folder.ladder, tell)
    execute(plan, inputs, folder, lambda event: tail.tell())
    tail.tell()


class _Tail:
    """Hands on each whole line that is added to a ladder."""

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path, self._tell, self._read = path, tell, 0

    def tell(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for text in file:
                if text.endswith(b"\n"):
                    self._read += len(text)
                    self._tell(parse_line(text))


def _no_foothold(step: int, damage: list[str]) -> Diagnostic:
    return diagnostic(
        "FTC532",
        f"there is no checkpoint of step {step} to begin from",
        notes=damage or "older checkpoints are deleted while a run goes on; see `train.keep_checkpoints`",
        help="begin at a step whose checkpoint is there, or at 0",
    )


if __name__ == "__main__":
    sys.exit(main())
