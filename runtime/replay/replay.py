"""Some of a plan's steps done once more in a fresh process, and the starter of that process.

The process is `python -m ftc.runtime.replay.replay REQUEST`, with answers on standard output: nothing which an earlier
run left in memory can make two runs alike. What it trains comes from the same code as a run's training; it only begins
where it is told and writes nothing but to its scratch folder. Answers are lines of JSON: the machine, the step log as
it grows, and how it ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import TypeAdapter

from ftc.runtime.execution.execute import expand_segments, let_threads_sleep
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.audit import Answer, MachineSeen, ReplayOver, ReplayRefused, ReplayRequest
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.step_log import StepLine, StepLog, WeightChecksum, line_text, parse_line, read_step_log
from ftc.spec.schedules import schedule_card
from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.processes import PINNED

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftc.runtime.execution.execute import Inputs

__all__ = ["Replayed", "main", "replay_in_fresh_process", "scratch_folder"]

_READER: TypeAdapter[Answer] = TypeAdapter(Answer)


@dataclass(slots=True)
class Replayed:
    """What a fresh process has answered so far.

    Attributes:
        machine: The class of the machine that it ran on.
        steps: Its step log's steps.
        checksums: Its step log's checksums.
        problem: Why it couldn't do what it was asked for.
        is_over: Whether it did all of it.
    """

    machine: MachineClass | None = None
    steps: dict[int, StepLine] = field(default_factory=dict)
    checksums: dict[int, WeightChecksum] = field(default_factory=dict)
    problem: Diagnostic | None = None
    is_over: bool = False

    @property
    def step_log(self) -> StepLog:
        """Its steps and its weight checksums."""
        return StepLog(self.steps, self.checksums)

    def take(self, answer: Answer) -> None:
        """Takes in one answer."""
        match answer:
            case MachineSeen(machine=machine):
                self.machine = machine
            case StepLine():
                self.steps[answer.step] = answer
            case WeightChecksum():
                self.checksums[answer.step] = answer
            case ReplayRefused():
                self.problem = diagnostic(answer.code, answer.summary, notes=answer.notes, help=answer.help)
            case ReplayOver():
                self.is_over = True


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="ftc-replay-", ignore_cleanup_errors=True) as folder:
        inner = Path(folder) / "run"
        inner.mkdir()
        yield inner


def replay_in_fresh_process(request: ReplayRequest, go_on: Callable[[Answer], bool]) -> Replayed:
    """Has steps done again, and hears of each.

    Args:
        request: What to do; beside its scratch folder, which `scratch_folder` makes, lie the request and the errors.
        go_on: Hears every answer, and says whether the process is to go on.
    """
    scratch, found = Path(request.scratch), Replayed()
    asked, errors = scratch.parent / "request.json", scratch.parent / "errors.txt"
    write_file(asked, request.to_text().encode())
    with errors.open("wb") as err, _started(request, asked, err.fileno()) as child:
        try:
            is_wanted = _listened(child, found, go_on)
        except BaseException:
            child.terminate()
            raise
        if not is_wanted:
            child.terminate()
    if is_wanted and not found.is_over and found.problem is None:
        status = child.returncode
        last = errors.read_text(errors="replace").strip().splitlines()[-3:]
        found.problem = diagnostic(
            "FTC536",
            f"the process that repeats the steps ended with status {status}",
            notes=last or "it printed nothing",
            help="apply the plan again to see more",
        )
    return found


def _started(request: ReplayRequest, asked: Path, errors: int) -> subprocess.Popen[bytes]:
    settings = request.plan.settings.train
    # -P: a module in the working folder must not take the place of an installed one.
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={settings.world_size}")
    command = [sys.executable, "-P", *(launcher if settings.world_size > 1 else ()), "-m", "ftc.runtime.replay.replay"]
    environment = {**os.environ, **(PINNED if settings.determinism.kernels == "exact" else {})}
    return subprocess.Popen([*command, str(asked)], stdout=subprocess.PIPE, stderr=errors, env=environment)


def _listened(child: subprocess.Popen[bytes], found: Replayed, go_on: Callable[[Answer], bool]) -> bool:
    """Takes in answers until there are no more, or until they are not wanted any longer."""
    assert child.stdout is not None
    for text in child.stdout:
        answer = _READER.validate_json(text)
        found.take(answer)
        if not go_on(answer):
            return False
    return True


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
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.machine import machine_class
    from ftc.runtime.execution.verify import verify_inputs
    from ftc.runtime.training.seeding import deterministic

    settings = request.plan.settings
    inputs = Inputs(
        Path(request.model_folder),
        Path(request.streams_folder),
        request.environment,
        companions={role: Path(folder) for role, folder in request.companion_folders.items()},
        writer=request.writer,
        recorded=Path(request.recorded) if request.recorded is not None else None,
        asks_judge=request.asks_judge,
    )
    with deterministic(settings, threads=request.threads):
        accelerator = make_accelerator(settings)
        uses = {"compiles": settings.train.compile, "fuses": bool(settings.train.kernels)}
        found = machine_class(accelerator.device, accelerator.num_processes, **uses)
        tell(MachineSeen(machine=found))
        if request.expected is not None and found != request.expected:
            return
        verify_inputs(request.plan, inputs)
        (_run_all if request.whole else _train_some)(request, inputs, accelerator, tell)


def _train_some(request: ReplayRequest, inputs: Inputs, accelerator: Accelerator, tell: Tell) -> None:
    """Training alone, from one step to another."""
    from ftc.runtime.artifacts import checkpoint
    from ftc.runtime.evaluation.scoring import learn_references
    from ftc.runtime.execution.session import open_session
    from ftc.runtime.training.hooks import Training, step_line, validate, weight_checksum
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
                read_step_log(RunFolder(Path(request.checkpoints).parent).step_log),
            )
            if found is None:
                summary = f"there is no checkpoint of step {request.first_step} to start from"
                notes = damage or "older checkpoints are deleted during a run; see `train.keep_checkpoints`"
                help = "start at a step that has a checkpoint, or at 0"
                raise Refusal([diagnostic("FTC532", summary, notes=notes, help=help)])
        work = session.build()
        job = make_job(session, work)
        training = Training(session, job, restored(session, work, job, found))
        asks_validation = schedule_card(job.train.schedule.kind).watches_validation
        if asks_validation:
            session.trained = work
            learn_references(session, work, "validation")
        tell(weight_checksum(request.first_step, job))
        job.model.train()
        for done in training_steps(job, request.first_step):
            tell(step_line(done, job))
            if asks_validation:  # the next step's rate hangs on it
                validate(training, done)
            if done.step in request.checksums or done.step == request.last_step:
                tell(weight_checksum(done.step, job))
            if done.step == request.last_step:
                break


def _run_all(request: ReplayRequest, inputs: Inputs, accelerator: Accelerator, tell: Tell) -> None:  # noqa: ARG001
    """The whole plan, in a run's folder of its own; the step log is handed on as it grows."""
    from ftc.runtime.execution.execute import execute

    plan = request.plan
    if request.threads is not None:
        device = plan.settings.device.model_copy(update={"threads": request.threads})
        plan = plan.model_copy(update={"settings": plan.settings.model_copy(update={"device": device})}).sealed()
    folder = RunFolder(Path(request.scratch))
    tail = _Tail(folder.step_log, tell)
    execute(plan, inputs, folder, lambda event: tail.tell())
    tail.tell()


class _Tail:
    """Hands on each whole line that is added to a step log."""

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


if __name__ == "__main__":
    sys.exit(main())
