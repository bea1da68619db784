"""How far a plan is with its rows: one line that is redrawn on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from ftc.views import numbers
from ftc.views.page import LABEL, PLAIN, Page, bar, pad

if TYPE_CHECKING:
    from ftc.spec.stage import Stage

__all__ = ["CLEAR", "LiveStages", "PlainStages", "stage_line"]

CLEAR = "\r\x1b[K"
_BAR_CELLS = 31
_FIRST_SECONDS = 0.5
"""Until then nothing is drawn: a plan of few rows is over sooner."""
_REDRAWN_SECONDS = 0.125
_SECONDS = 60.0
"""Between lines that stay: a plan that is over sooner writes none."""


def stage_line(stage: Stage, page: Page) -> str:
    """A stage with its rows so far, and a bar where all of them are known."""
    label = pad(stage.name, LABEL)
    if stage.total and stage.done:
        cells = max(5, min(_BAR_CELLS, page.columns - 40))
        figures = f"{numbers.count(stage.done)}/{numbers.count(stage.total)} rows"
        return f"{label}{bar(stage.done, stage.total, cells, page)}  {figures}"
    rows = stage.done or stage.total
    return f"{label}{numbers.count(rows)} rows …" if rows else f"{label}rows …"


class LiveStages:
    """A line that is redrawn in place, and removed by `clear`."""

    def __init__(self, stream: TextIO, *, page: Page = PLAIN) -> None:
        self._stream, self._page = stream, page
        self._next = time.monotonic() + _FIRST_SECONDS
        self._is_drawn = False

    def __call__(self, stage: Stage) -> None:
        """Draws the stage, unless the last picture is an eighth of a second old or less."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + _REDRAWN_SECONDS
            self.draw(stage_line(stage, self._page))

    def draw(self, line: str) -> None:
        """Puts a line in the place of the one before."""
        self._is_drawn = True
        self._stream.write(CLEAR + line)
        self._stream.flush()

    def clear(self) -> None:
        """Removes the line."""
        if self._is_drawn:
            self._is_drawn = False
            self._stream.write(CLEAR)
            self._stream.flush()


class PlainStages:
    """A line a minute, for a log."""

    def __init__(self, stream: TextIO, *, page: Page = PLAIN, seconds: float = _SECONDS) -> None:
        self._stream, self._page, self._seconds = stream, page, seconds
        self._next = time.monotonic() + seconds

    def __call__(self, stage: Stage) -> None:
        """Writes where the plan stands, where a minute has passed since it last did."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + self._seconds
            self._stream.write(_plain_line(stage) + "\n")
            self._stream.flush()


def _plain_line(stage: Stage) -> str:
    done, label = numbers.count(stage.done), pad(stage.name, LABEL)
    if stage.total and stage.done:
        return f"{label}{done} of {numbers.count(stage.total)} rows"
    return f"{label}{done} rows" if stage.done else f"{label}rows"
