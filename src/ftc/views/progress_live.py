"""A run on a terminal: lasting lines scroll by, and one block at the bottom is redrawn while something goes on."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from ftc.spec.documents.events import Event, PhaseEnded, PhaseStarted, RunEnded, StepDone, TestProgress
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, pad, shorten
from ftc.views.progress import event_lines
from ftc.views.progress_state import LABEL, RunState, bar, phase_label, training_lines

__all__ = ["LiveProgress"]

_REFRESH_PER_SECOND = 8
_BAR_CELLS = 31


class LiveProgress:
    """A listener and a context manager: the terminal is as it was when the block is left, whatever happened."""

    def __init__(self, stream: TextIO, *, page: Page = PLAIN) -> None:
        self._page = page
        self._state = RunState()
        self._phase: PhaseStarted | None = None
        self._phase_began = 0.0
        self._test: TestProgress | None = None
        console = Console(file=stream, force_terminal=True, no_color=not page.color, highlight=False, soft_wrap=True)
        self._live = Live(
            console=console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            get_renderable=self._picture,
        )

    def __enter__(self) -> Self:
        """Starts to redraw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the redrawn block; what was printed stays."""
        self._phase = None
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Takes in an event; the picture follows within an eighth of a second."""
        self._state.add(event)
        match event:
            case PhaseStarted():
                self._phase, self._phase_began, self._test = event, time.monotonic(), None
            case PhaseEnded() | RunEnded():
                self._phase = None
            case TestProgress():
                self._test = event
            case StepDone():
                return
            case _:
                pass
        for line in event_lines(event, self._state, self._page):
            self._live.console.print(Text.from_ansi(line))

    def _picture(self) -> RenderableType:
        return Text.from_ansi("\n".join(self._lines()), no_wrap=True, overflow="ellipsis")

    def _lines(self) -> list[str]:
        phase, test = self._phase, self._test
        if phase is None:
            return []
        if phase.phase == "train":
            return training_lines(self._state, self._page)
        label = pad(phase_label(phase.phase), LABEL)
        if phase.phase == "evaluate" and test is not None:
            figures = f"{test.subject} {numbers.count(test.done)}/{numbers.count(test.rows)}"
            return [f"{label}{bar(test.done, test.rows, _BAR_CELLS, self._page)}  {figures}"]
        elapsed = numbers.duration(time.monotonic() - self._phase_began)
        detail = shorten(phase.detail, self._page.columns - LABEL - len(elapsed) - 4)
        return [f"{label}{detail} … {self._page.faint(elapsed)}"]
