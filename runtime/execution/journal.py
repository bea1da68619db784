"""What a run writes line by line: its events, its step log (`ladder.ndjson`), and answers that it samples.

`ftc.spec.documents.step_log` and `ftc.spec.documents.sampled` say what is in the last two.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ftc.spec.documents.events import Event, EventListener, Part, PhaseEnded, PhaseStarted
from ftc.spec.documents.sampled import WrittenAnswer, read_answers
from ftc.spec.documents.step_log import StepLine, StepLog, WeightChecksum, line_text, read_step_log
from ftc.spec.storage.atomic_write import write_file

__all__ = ["AnswersFile", "Journal", "StepLogFile", "close_lines", "open_at_last_line"]


class Journal:
    """Appends events to a file and hands them on. A process that isn't the first writes and tells nothing.

    Args:
        path: The file; a last line that a crash left incomplete is cut off.
        listen: Who else hears of every event.
        silent: Whether this process keeps quiet.
    """

    def __init__(self, path: Path, listen: EventListener, *, silent: bool) -> None:
        self._listen = listen
        self.timed: Callable[[Part, float], None] = lambda _phase, _seconds: None
        """Hears how long each part took that ended well."""
        self._file = None if silent else open_at_last_line(path)

    def emit(self, event: Event) -> None:
        """Writes an event down with its time, then tells it."""
        if self._file is None:
            return
        event = event.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="milliseconds")})
        self._file.write(event.to_line())
        self._file.flush()
        self._listen(event)

    @contextmanager
    def phase(self, phase: Part, detail: str) -> Iterator[None]:
        """Tells when a part of the run begins, and when it ends well."""
        started = time.perf_counter()
        self.emit(PhaseStarted(phase=phase, detail=detail))
        yield
        self.sync()
        seconds = time.perf_counter() - started
        self.timed(phase, seconds)
        self.emit(PhaseEnded(phase=phase, detail=detail, seconds=seconds))

    def sync(self) -> None:
        """Makes all that was written durable."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            close_lines(self._file, is_failing=error is not None)


def close_lines(file: BinaryIO, *, is_failing: bool) -> None:
    """Makes lines durable and closes their file.

    A disk that is full refuses here a second time. Where work is failing already, that would hide the reason.

    Raises:
        OSError: The disk refused, and nothing else had gone wrong before.
    """
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        if not is_failing:
            raise
    finally:
        with suppress(OSError):  # it flushes what is left once more
            file.close()


def open_at_last_line(path: Path) -> BinaryIO:
    """A file of lines to append to, without the last one where a crash left it incomplete."""
    file: BinaryIO = path.open("ab+")
    file.seek(0)
    content = file.read()
    if not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
    return file


class AnswersFile:
    """Appends answers that the model wrote in training to a file of a run's folder, which is there only if any are.

    Args:
        path: The file.
        kind: What is noted of each.
        silent: Whether this process keeps quiet.
    """

    def __init__(self, path: Path, kind: type[WrittenAnswer], *, silent: bool) -> None:
        self._path, self._kind, self._silent = path, kind, silent
        self._file: BinaryIO | None = None

    def truncate(self, step: int) -> None:
        """Takes away the answers of later steps, which are sampled again.

        Raises:
            OSError: The disk refused; the file is as it was.
        """
        if not self._silent and self._path.exists():
            self._close()
            kept = (one for one in read_answers(self._path, self._kind) if one.step <= step)
            write_file(self._path, b"".join(map(line_text, kept)))

    def add(self, answers: Sequence[WrittenAnswer]) -> None:
        """Writes the answers of a step."""
        if self._silent or not answers:
            return
        if self._file is None:
            self._file = open_at_last_line(self._path)
        self._file.write(b"".join(map(line_text, answers)))
        self._file.flush()

    def sync(self) -> None:
        """Makes all that was written durable."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def _close(self, *, is_failing: bool = False) -> None:
        if self._file is not None:
            close_lines(self._file, is_failing=is_failing)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(is_failing=error is not None)


class StepLogFile:
    """Appends lines to a run's step log. A process that isn't the first writes nothing.

    A line is with the system once `add` returns, and on disk once `sync` does, which comes before every checkpoint: so
    after any crash the step log reaches at least as high as the newest checkpoint.

    Args:
        path: The file.
        silent: Whether this process keeps quiet.
    """

    def __init__(self, path: Path, *, silent: bool) -> None:
        self._path = path
        self._file = None if silent else open_at_last_line(path)

    def truncate(self, step: int) -> None:
        """Takes away what stands above a step: training goes on from there, and writes it again.

        Raises:
            OSError: The disk refused; the step log is as it was.
        """
        if self._file is None:
            return
        known = read_step_log(self._path)
        if max(*known.steps, *known.checksums, 0, 0) > step:
            self._replace(b"".join(map(line_text, known.lines(step))))

    def clear(self) -> None:
        """Takes away everything: training begins at the beginning."""
        if self._file is not None and self._path.stat().st_size > 0:
            self._replace(b"")

    def _replace(self, content: bytes) -> None:
        assert self._file is not None
        self._file.close()
        try:
            write_file(self._path, content)
        finally:
            self._file = open_at_last_line(self._path)

    def add(self, line: StepLine | WeightChecksum) -> None:
        """Writes a line."""
        if self._file is not None:
            self._file.write(line_text(line))
            self._file.flush()

    def sync(self) -> None:
        """Makes all that was written durable."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def read(self) -> StepLog:
        """The step log so far."""
        return read_step_log(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            close_lines(self._file, is_failing=error is not None)
