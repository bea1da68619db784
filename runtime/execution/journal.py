"""The run's events: one line each in `events.ndjson`, and to whoever listens."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ftc.spec.documents.events import Event, EventListener, Part, PhaseEnded, PhaseStarted

__all__ = ["Journal", "close_lines", "open_at_last_line"]


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
        """Writes an event down, then tells it."""
        if self._file is None:
            return
        self._file.write(json.dumps(event.to_json(), ensure_ascii=False, sort_keys=True).encode() + b"\n")
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
