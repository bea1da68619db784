"""Starts a fresh process that replays steps, and listens to it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.audit import Answer, MachineSeen, ReplayOver, ReplayRefused, ReplayRequest
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.step_log import Ladder, Rung, StepLine
from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.processes import PINNED

__all__ = ["Replayed", "replay_in_fresh_process", "scratch_folder"]

_READER: TypeAdapter[Answer] = TypeAdapter(Answer)


@dataclass(slots=True)
class Replayed:
    """What a fresh process has answered so far.

    Attributes:
        machine: The class of the machine that it ran on.
        steps: Its ladder's steps.
        rungs: Its ladder's rungs.
        problem: Why it couldn't do what it was asked for.
        is_over: Whether it did all of it.
    """

    machine: MachineClass | None = None
    steps: dict[int, StepLine] = field(default_factory=dict)
    rungs: dict[int, Rung] = field(default_factory=dict)
    problem: Diagnostic | None = None
    is_over: bool = False

    @property
    def ladder(self) -> Ladder:
        """What it climbed."""
        return Ladder(self.steps, self.rungs)

    def take(self, answer: Answer) -> None:
        """Takes in one answer."""
        match answer:
            case MachineSeen(machine=machine):
                self.machine = machine
            case StepLine():
                self.steps[answer.step] = answer
            case Rung():
                self.rungs[answer.step] = answer
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
        found.problem = _broken_off(child.returncode, errors.read_text(errors="replace"))
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


def _broken_off(status: int, errors: str) -> Diagnostic:
    last = errors.strip().splitlines()[-3:]
    return diagnostic(
        "FTC536",
        f"the process that does the steps again ended with status {status}",
        notes=last or "it said nothing",
        help="apply the plan again, which tells more",
    )
