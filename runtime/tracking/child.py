"""The reporter as a program: it reports a run's `events.ndjson` to one tracker, in a process beside the run.

So a tracker that is slow, hangs, raises, draws random numbers or takes memory does so elsewhere, and what it has not
taken yet waits in the file, not in the run's memory. The first line of standard input is the job; `settle` and `finish`
follow. Without more input, the run is gone, and the tracker gets its last state. Answers are lines of standard
output.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pydantic import TypeAdapter, ValidationError

from ftc.runtime.tracking.backend import About, Backend, Point
from ftc.runtime.tracking.mlflow import open_mlflow
from ftc.runtime.tracking.system import Machine
from ftc.runtime.tracking.tensorboard import open_tensorboard
from ftc.runtime.tracking.trackio import open_trackio
from ftc.runtime.tracking.translate import Translator, about, result_points, result_tags, sent_files
from ftc.runtime.tracking.wandb import open_wandb
from ftc.spec.documents.events import Event
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.tracking import TrackerAnswer, TrackerJob
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular
from ftc.spec.trackers import TrackerCard, TrackerKeys, tracker_card

__all__ = ["OPENERS", "Reporter", "main", "without_secrets"]

OPENERS: Mapping[str, Callable[[About, Any], Backend]] = {
    "tensorboard": open_tensorboard,
    "mlflow": open_mlflow,
    "wandb": open_wandb,
    "trackio": open_trackio,
}
"""What begins or finds the run in each tracker, by the card's name."""

_POLL_SECONDS = 0.5
_SAMPLE_SECONDS = 10.0
_MOST_BYTES = 1 << 20
"""Read of the file at once, so that a long history needs little memory."""
_LONGEST_PROBLEM = 300
_PASSWORD = re.compile(r"(?<=://)[^/\s@]+@")


def without_secrets(text: str, card: TrackerCard, environ: Mapping[str, str]) -> str:
    """A text on one line, without the values of the tracker's credentials and without passwords in addresses."""
    for name in card.secrets:
        if len(value := environ.get(name, "")) >= 4:  # a shorter one would take half of the text with it
            text = text.replace(value, f"${name}")
    return " ".join(_PASSWORD.sub("…@", text).split())[:_LONGEST_PROBLEM]


@dataclass(slots=True)
class Reporter:
    """Reports one run to one tracker.

    Attributes:
        folder: The run's folder.
        backend: The tracker.
        translator: What turns events into values.
        machine: What is sampled; None where the run is over.
        say: Called with each answer to the run.
    """

    folder: RunFolder
    backend: Backend
    translator: Translator
    machine: Machine | None
    say: Callable[[TrackerAnswer], None]
    sent: int = 0
    _offset: int = 0
    _sampled: float = 0.0
    _step: int = 0
    _reader: TypeAdapter[Event] = field(default_factory=lambda: TypeAdapter(Event))

    def report(self) -> None:
        """Sends all that the run has written by now."""
        for events in self._new_events():
            points = [point for event in events for point in self.translator.points(event)]
            if not points:
                continue
            self._step = points[-1].step
            self.backend.log(points)
            self.sent += len(points)
            self.say(TrackerAnswer(kind="sent", sent=self.sent))
        self._sample()

    def settle(self) -> None:
        """Sends all, and waits until it has arrived."""
        self._sampled = 0.0
        self.report()
        self.backend.flush()
        self.say(TrackerAnswer(kind="settled", sent=self.sent))

    def finish(self, keys: TrackerKeys) -> None:
        """Sends the result, with files."""
        self.report()
        record = RunRecord.model_validate_json(read_regular(self.folder.record))
        evaluation = None
        if self.folder.evaluation.exists():
            evaluation = Evaluation.model_validate_json(read_regular(self.folder.evaluation))
        self.backend.log(result_points(record, evaluation))
        self.backend.flush()
        where = self.backend.finish(record, result_tags(record), sent_files(self.folder, keys.artifacts))
        self.say(TrackerAnswer(kind="done", sent=self.sent, text=where))

    def _new_events(self) -> Iterator[list[Event]]:
        """Whole lines that were not read before."""
        while self.folder.events.exists():
            with self.folder.events.open("rb") as file:
                file.seek(self._offset)
                content = file.read(_MOST_BYTES)
            whole = content[: content.rfind(b"\n") + 1]
            if not whole:
                return
            self._offset += len(whole)
            yield [event for line in whole.splitlines() if (event := self._event(line)) is not None]

    def _event(self, line: bytes) -> Event | None:
        try:
            return self._reader.validate_json(line)
        except ValidationError:  # a line that a crash cut off, or of a later release
            return None

    def _sample(self) -> None:
        now = time.monotonic()
        if self.machine is None or (self._sampled and now - self._sampled < _SAMPLE_SECONDS):
            return
        self._sampled = now
        at = time.time()
        self.backend.log([Point(name, self._step, at, value) for name, value in self.machine.sample().items()])


def main() -> int:
    """Reports one run to one tracker."""
    answer_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    warnings.simplefilter("ignore")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # the run comes first
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        asks: queue.SimpleQueue[str] = queue.SimpleQueue()
        job = TrackerJob.model_validate_json(sys.stdin.buffer.readline())
        threading.Thread(target=_listen, args=(asks,), daemon=True).start()
        card = tracker_card(job.tracker)
        assert card is not None
        try:
            _serve(job, card, asks, out)
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises is an answer
            text = without_secrets(f"{type(error).__name__}: {error}", card, os.environ)
            _say(out, TrackerAnswer(kind="problem", sent=0, text=text))
            return 1
    return 0


def _listen(asks: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin.buffer:
        asks.put(line.decode().strip())
    asks.put("finish")  # the run's process is gone, or has said all


def _serve(job: TrackerJob, card: TrackerCard, asks: queue.SimpleQueue[str], out: TextIO) -> None:
    folder = RunFolder(Path(job.folder))
    plan = Plan.model_validate_json(read_regular(folder.plan))
    record = RunRecord.model_validate_json(read_regular(folder.record))
    known = about(plan, record, folder.path, Path(job.root))
    keys = card.keys.model_validate(job.keys, strict=False)
    reporter = Reporter(
        folder=folder,
        backend=OPENERS[card.name](known, keys),
        translator=Translator(known.started),
        machine=None if job.process is None else Machine(job.process),
        say=lambda answer: _say(out, answer),
    )
    while True:
        reporter.report()
        try:
            ask = asks.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if ask == "finish":
            reporter.finish(keys)
            return
        reporter.settle()


def _say(out: TextIO, answer: TrackerAnswer) -> None:
    with contextlib.suppress(OSError):  # nobody reads any longer
        out.write(answer.model_dump_json() + "\n")
        out.flush()


if __name__ == "__main__":
    sys.exit(main())
