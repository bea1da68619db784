"""The processes that report a run to trackers, as the run sees them: started, asked, and never waited for too long."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from ftc.runtime.tracking.translate import Translator
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.events import read_events
from ftc.spec.documents.tracking import Tracked, TrackerAnswer, TrackerJob
from ftc.spec.storage.paths import RunFolder
from ftc.spec.trackers import TrackerCard, TrackerKeys

__all__ = ["PROGRAM", "Reporters", "environment"]

PROGRAM = (sys.executable, "-P", "-m", "ftc.runtime.tracking.child")
"""`-P`: the project's folder, in which it runs, holds no code."""

_SETTINGS = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_OF_A_RUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_SETTLE_SECONDS = 10.0
_FINISH_SECONDS = 60.0
_LEAVE_SECONDS = 5.0


def environment() -> dict[str, str]:
    """That of a process beside a run: no GPU, one thread, and no part in the run's own group of processes."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_RUN} | _SETTINGS


@dataclass(slots=True)
class _Reporter:
    """One process."""

    card: TrackerCard
    process: subprocess.Popen[str] | None = None
    sent: int = 0
    problem: str = ""
    where: str = ""
    _answers: threading.Condition = field(default_factory=threading.Condition)
    _is_settled: bool = False
    _is_done: bool = False
    _has_ended: bool = False
    _reader: threading.Thread | None = None

    def begin(self, program: Sequence[str], job: TrackerJob) -> None:
        """Starts it; where the system allows no process, nothing is reported."""
        try:
            # In a session of its own, a signal to the terminal's programs, which the run handles, doesn't end it.
            self.process = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                cwd=job.root,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            self.problem, self._has_ended = error.strerror or str(error), True
            return
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ask(job.model_dump_json())

    def ask(self, line: str) -> None:
        """Writes a line; it is a few hundred bytes, which a pipe takes at once."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended, and its reader knows
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()

    def wait(self, *, for_files: bool, seconds: float) -> None:
        """Waits until it has sent all, and so long at most."""
        with self._answers:
            self._answers.wait_for(
                lambda: self._has_ended or (self._is_done if for_files else self._is_settled), max(0.0, seconds)
            )

    def end(self) -> None:
        """Ends the process and those that it started, whatever they do; one that is done may leave by itself."""
        if self.process is None:
            return
        assert self.process.stdin is not None
        assert self._reader is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self._is_done:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_LEAVE_SECONDS)
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()
        self.process.wait()
        self._reader.join(_LEAVE_SECONDS)

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                with contextlib.suppress(ValidationError), self._answers:
                    self._take(TrackerAnswer.model_validate_json(line))
                    self._answers.notify_all()
        with self._answers:
            self._has_ended = True
            if not self._is_done and not self.problem:
                self.problem = "its process ended without a word"
            self._answers.notify_all()

    def _take(self, answer: TrackerAnswer) -> None:
        match answer.kind:
            case "sent":
                self.sent = answer.sent
            case "settled":
                self.sent, self._is_settled = answer.sent, True
            case "done":
                self.sent, self.where, self._is_done = answer.sent, answer.text, True
            case "problem":
                self.problem = answer.text

    @property
    def has_ended(self) -> bool:
        """Whether it has sent everything, or gave up."""
        return self._is_done or self._has_ended

    @property
    def has_finished(self) -> bool:
        """Whether it has sent everything."""
        return self._is_done


@dataclass(slots=True)
class Reporters:
    """All trackers of a run.

    Attributes:
        asked: The trackers, with their keys.
        root: The project's folder.
        folder: The run's folder.
        program: What is started for each.
        settle_seconds: How long the end of a run waits for what trackers haven't taken yet, at most.
        finish_seconds: How long `ftc apply` waits for files, at most, when the run is over.
    """

    asked: Sequence[tuple[TrackerCard, TrackerKeys]]
    root: Path
    folder: RunFolder
    program: Sequence[str] = PROGRAM
    settle_seconds: float = _SETTLE_SECONDS
    finish_seconds: float = _FINISH_SECONDS
    _reporters: list[_Reporter] = field(default_factory=list)

    def begin(self, *, live: bool) -> None:
        """Starts the processes, once. The run's plan and record must be there.

        Args:
            live: Whether this process is the run's, whose use of the machine is sampled.
        """
        if self._reporters:
            return
        for card, keys in self.asked:
            job = TrackerJob(
                tracker=card.name,
                keys=json.loads(keys.model_dump_json()),
                folder=str(self.folder.path.absolute()),
                root=str(self.root.absolute()),
                process=os.getpid() if live else None,
            )
            one = _Reporter(card)
            self._reporters.append(one)
            one.begin(self.program, job)

    def settle(self, seconds: float | None = None) -> tuple[Tracked, ...]:
        """What each tracker has taken, after a short wait for the rest; the run has said all by now."""
        for one in self._reporters:
            one.ask("settle")
        self._wait(self.settle_seconds if seconds is None else seconds, for_files=False)
        translator = Translator(0.0)
        points = sum(len(translator.points(event)) for event in read_events(self.folder.events)) if self.asked else 0
        return tuple(
            Tracked(
                tracker=one.card.name,
                points=points,
                sent=one.sent,
                problem=(
                    one.problem
                    if one.problem or one.sent >= points
                    else f"it took {one.sent:,} of {points:,} values in time"
                ),
            )
            for one in self._reporters
        )

    def finish(self, seconds: float | None = None) -> tuple[Diagnostic, ...]:
        """Has the result and the files sent, then ends all processes; what didn't arrive is a finding (FTC730)."""
        self.ask_for_all()
        self._wait(self.finish_seconds if seconds is None else seconds, for_files=True)
        found = tuple(self._finding(one) for one in self._reporters if not one.has_finished)
        for one in self._reporters:
            one.end()
        return found

    def ask_for_all(self) -> None:
        """Asks for the result and the files, and waits for nothing."""
        for one in self._reporters:
            one.ask("finish")

    def wait(self, seconds: float) -> bool:
        """Waits so long at most, and gives whether every tracker has taken everything or given up."""
        self._wait(seconds, for_files=True)
        return all(one.has_ended for one in self._reporters)

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Where the run is found, by tracker; of those that took everything."""
        return tuple((one.card.title, one.where) for one in self._reporters if one.has_finished)

    @property
    def sent(self) -> dict[str, int]:
        """Values by step that each tracker took."""
        return {one.card.name: one.sent for one in self._reporters}

    def _wait(self, seconds: float, *, for_files: bool) -> None:
        until = time.monotonic() + seconds
        for one in self._reporters:
            one.wait(for_files=for_files, seconds=until - time.monotonic())

    def _finding(self, one: _Reporter) -> Diagnostic:
        why = one.problem or "it did not answer in time"
        again = f"`ftc run track {self.folder.path.name} --to {one.card.name}`"
        return diagnostic(
            "FTC730",
            f"{one.card.title} has not taken all of the run: {why}",
            notes="the run is not affected; everything is in its folder",
            help=f"once the tracker works, {again} sends all of it",
        )
