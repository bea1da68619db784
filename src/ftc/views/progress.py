"""Listeners that show a run while it goes: plain lines for logs and pipes, JSON lines for programs.

A terminal gets `ftc.views.progress_live`, which redraws; it is apart because it alone needs rich.
"""

from __future__ import annotations

import json
from typing import TextIO

from ftc.spec.documents.events import (
    EarlyStopped,
    Evaluated,
    Event,
    Noticed,
    PhaseEnded,
    Resumed,
    RunEnded,
    RunStarted,
    StepDone,
    StopRequested,
    TestProgress,
)
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page, pad
from ftc.views.progress_state import LABEL, RunState, phase_line, validation_words

__all__ = ["JsonProgress", "PlainProgress", "event_lines"]

_SHARE_PERCENT = 5


class JsonProgress:
    """Each event as one line of JSON, the same as in `events.ndjson`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Writes the event and flushes, so that a reader is never behind."""
        self._stream.write(json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
        self._stream.flush()


class PlainProgress:
    """Lines that stay: each phase, each look at validation, and training about every twentieth of the steps."""

    def __init__(self, stream: TextIO, *, page: Page = PLAIN) -> None:
        self._stream = stream
        self._page = page
        self._state = RunState()
        self._shown_percent: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Writes the lines that an event calls for, and flushes."""
        self._state.add(event)
        for line in self._lines(event):
            self._stream.write(line + "\n")
            self._stream.flush()

    def _lines(self, event: Event) -> list[str]:
        match event:
            case StepDone() if self._is_due("train", event.step, self._state.num_steps):
                return [_step_line(event, self._state)]
            case TestProgress() if self._is_due(event.subject, event.done, event.rows):
                done = f"{event.subject} {numbers.count(event.done)}/{numbers.count(event.rows)}"
                return [f"{pad('evaluating', LABEL)}{done}"]
            case StepDone() | TestProgress():
                return []
            case _:
                return event_lines(event, self._state, self._page)

    def _is_due(self, what: str, done: int, total: int) -> bool:
        """Whether another twentieth is done, or all of it."""
        percent = 100 * done // total if total else 100
        reached = percent // _SHARE_PERCENT * _SHARE_PERCENT
        if reached <= self._shown_percent.get(what, 0):
            return False
        self._shown_percent[what] = reached
        return True


def event_lines(event: Event, state: RunState, page: Page) -> list[str]:
    """The lasting lines of an event that is no mere progress; most events have none.

    Args:
        event: What happened.
        state: The run so far, this event included.
        page: Width and colours.
    """
    match event:
        case RunStarted():
            return page.flow("run", [page.strong(event.run_id), escaped(event.folder)], indent=LABEL)
        case PhaseEnded():
            return [phase_line(event, page)]
        case Resumed():
            return [f"{pad('resuming', LABEL)}from the checkpoint of step {numbers.count(event.step)}"]
        case Evaluated():
            mark = f"  {page.good('best so far')}" if event.best else ""
            return [f"{pad('validation', LABEL)}step {event.step}  {validation_words(event)}{mark}"]
        case Noticed():
            return page.flow(page.alert("notice"), [f"{event.code}: {escaped(event.text)}"], indent=LABEL)
        case EarlyStopped():
            return page.flow("stopping", [f"early, at step {event.step}: {escaped(event.reason)}"], indent=LABEL)
        case StopRequested():
            return [f"{pad('stopping', LABEL)}after what is being done now, with a checkpoint; once more stops at once"]
        case RunEnded(status="interrupted"):
            saved = f"saved at step {numbers.count(state.saved_step)}" if state.saved_step else "nothing to save yet"
            return [f"{page.alert(pad('interrupted', LABEL))}{saved}"]
        case RunEnded(status="failed"):
            return page.flow(page.bad("failed"), [escaped(event.detail)], indent=LABEL)
        case _:
            return []


def _step_line(step: StepDone, state: RunState) -> str:
    speed, left = state.tokens_per_second, state.seconds_left
    parts = [
        f"step {step.step}/{state.num_steps}",
        f"epoch {step.epoch:.1f}",
        f"loss {numbers.metric(step.loss)}",
        f"lr {numbers.rate(step.learning_rate)}",
        *([f"{numbers.count(round(speed))} tok/s"] if speed else []),
        *([f"{numbers.clock(left)} left"] if left is not None else []),
    ]
    return pad("training", LABEL) + "  ".join(parts)
