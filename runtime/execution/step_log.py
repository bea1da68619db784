"""Writes a run's trace ladder; `ftc.spec.documents.step_log` says what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from ftc.runtime.execution.journal import close_lines, open_at_last_line
from ftc.spec.documents.step_log import Ladder, Rung, StepLine, line_text, read_ladder
from ftc.spec.storage.atomic_write import write_file

__all__ = ["LadderFile"]


class LadderFile:
    """Appends lines to a run's ladder. A process that isn't the first writes nothing.

    A line is with the system once `add` returns, and on disk once `sync` does, which comes before every checkpoint: so
    after any crash the ladder reaches at least as high as the newest checkpoint.

    Args:
        path: The file.
        silent: Whether this process keeps quiet.
    """

    def __init__(self, path: Path, *, silent: bool) -> None:
        self._path = path
        self._file = None if silent else open_at_last_line(path)

    def stand_at(self, step: int) -> None:
        """Takes away what stands above a step: training goes on from there, and writes it anew.

        Raises:
            OSError: The disk refused; the ladder is as it was.
        """
        if self._file is None:
            return
        known = read_ladder(self._path)
        if max(*known.steps, *known.rungs, 0, 0) > step:
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

    def add(self, line: StepLine | Rung) -> None:
        """Writes a line."""
        if self._file is not None:
            self._file.write(line_text(line))
            self._file.flush()

    def sync(self) -> None:
        """Makes all that was written durable."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def read(self) -> Ladder:
        """The ladder so far."""
        return read_ladder(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            close_lines(self._file, is_failing=error is not None)
