"""A run's progress out of its events, as lines of text, as JSON, and as a picture that stays in place."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from ftc.spec.documents.events import (
    CheckpointSaved,
    EarlyStopped,
    Evaluated,
    Event,
    Noticed,
    PhaseEnded,
    PhaseStarted,
    Registered,
    Registering,
    Resumed,
    RunEnded,
    RunStarted,
    StepDone,
    StopRequested,
    TestProgress,
)
from ftc.views import numbers
from ftc.views.page import LABEL, PLAIN, Page, bar, escaped, pad, shorten, visible_width
from ftc.views.words import metric_title

if TYPE_CHECKING:
    from rich.text import Text

__all__ = [
    "JsonProgress",
    "LiveProgress",
    "PlainProgress",
    "RunState",
    "event_lines",
    "phase_label",
    "phase_line",
    "step_lines",
    "training_lines",
    "validation_words",
]

_LABELS = {
    "verify": "verifying",
    "prove": "proving",
    "reference": "reference",
    "load": "loading",
    "serve": "server",
    "train": "training",
    "export": "exporting",
    "merge": "merging",
    "compare": "comparing",
    "evaluate": "evaluating",
    "predict": "predicting",
    "judge": "judging",
    "grade": "grading",
}
_WINDOW_STEPS = 20
"""Steps over which speed is averaged: short enough to follow a change, long enough to stand still."""
_BAR_CELLS = 31


@dataclass(slots=True)
class RunState:
    """A run as far as its events tell."""

    num_steps: int = 0
    step: StepDone | None = None
    validation: Evaluated | None = None
    best: Evaluated | None = None
    saved_step: int | None = None
    recent: deque[StepDone] = field(default_factory=lambda: deque(maxlen=_WINDOW_STEPS))

    def add(self, event: Event) -> None:
        """Takes in one event."""
        match event:
            case RunStarted():
                self.num_steps = event.num_steps
            case StepDone():
                self.step = event
                self.recent.append(event)
            case Evaluated():
                self.validation = event
                self.best = event if event.best else self.best
            case CheckpointSaved():
                self.saved_step = event.step
            case _:
                pass

    @property
    def tokens_per_second(self) -> float | None:
        """Speed over the last steps; None before the first."""
        seconds = sum(step.seconds for step in self.recent)
        return sum(step.tokens for step in self.recent) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time for the remaining steps at the speed of the last ones; validation is not counted."""
        if self.step is None or not self.recent:
            return None
        mean = sum(step.seconds for step in self.recent) / len(self.recent)
        return mean * max(0, self.num_steps - self.step.step)


def step_lines(state: RunState, page: Page) -> list[str]:
    """Where training stands: a bar, and the figures of the last step."""
    step, total = state.step, f"{state.num_steps}"
    if step is None:
        cells = max(5, min(_BAR_CELLS, page.columns - LABEL - len(total) - 4))
        return [f"{pad('training', LABEL)}{bar(0, 1, cells, page)}  0/{total}"]
    cells = max(5, min(_BAR_CELLS, page.columns - 69))
    head = f"{pad('training', LABEL)}{bar(step.step, state.num_steps, cells, page)}  {step.step}/{state.num_steps}"
    figures = (f"epoch {step.epoch:.1f}", f"loss {numbers.metric(step.loss)}", f"lr {numbers.rate(step.learning_rate)}")
    first = ["  ".join((head, *figures))]
    if visible_width(first[0]) > page.columns:
        first = [head, *page.flow("", figures, indent=LABEL)]
    return first


def training_lines(state: RunState, page: Page) -> list[str]:
    """Lines that are redrawn: where training stands, and how fast it goes."""
    words = []
    if speed := state.tokens_per_second:
        words.append(f"{numbers.count(round(speed))} tok/s")
    if state.validation:
        standing = (
            f"best, step {state.validation.step}"
            if state.validation.best or state.best is None
            else f"step {state.validation.step}; best at {state.best.step}"
        )
        words.append(f"validation {validation_words(state.validation)} ({standing})")
    if (left := state.seconds_left) is not None:
        words.append(f"{numbers.clock(left)} left")
    return [*step_lines(state, page), *(page.flow("", words, indent=LABEL) if words else [])]


def validation_words(event: Evaluated) -> str:
    """The metrics of a look at validation: `loss 0.231, macro F1 0.931`."""
    names = sorted(event.metrics, key=lambda name: name != "val_loss")
    return ", ".join(
        f"{metric_title(name.removeprefix('val_'))} {numbers.metric(event.metrics[name])}" for name in names
    )


def phase_label(phase: str) -> str:
    """What a phase is called while it goes on."""
    return _LABELS[phase]


def phase_line(event: PhaseEnded, page: Page) -> str:
    """A finished phase with its seconds, on one line where it fits."""
    end = f"{numbers.duration(event.seconds)}  {page.good('ok')}"
    return "\n".join(page.flow(phase_label(event.phase), [escaped(event.detail)], indent=LABEL, end=end))


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
                state = self._state
                speed, left = state.tokens_per_second, state.seconds_left
                parts = [
                    f"step {event.step}/{state.num_steps}",
                    f"epoch {event.epoch:.1f}",
                    f"loss {numbers.metric(event.loss)}",
                    *(["skipped: gradients overflowed"] if event.is_skipped else []),
                    *([f"reward {numbers.metric(event.sampled.reward)}"] if event.sampled else []),
                    f"lr {numbers.rate(event.learning_rate)}",
                    *([f"{numbers.count(round(speed))} tok/s"] if speed else []),
                    *([f"{numbers.clock(left)} left"] if left is not None else []),
                ]
                return [pad("training", LABEL) + "  ".join(parts)]
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
        page: Width and colors.
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
            return [(f"{pad('stopping', LABEL)}after the current step, with a checkpoint; press again to stop at once")]
        case Registering() | Registered():
            what = f"model `{event.model}`" if isinstance(event, Registering) else event.version
            return page.flow(event.kind, [f"{escaped(what)}, in {event.tracker}"], indent=LABEL)
        case RunEnded():
            return _end_lines(event, state, page)
        case _:
            return []


def _end_lines(event: RunEnded, state: RunState, page: Page) -> list[str]:
    """How a run ended; nothing of one that is over, whose result is shown."""
    match event.status:
        case "interrupted":
            saved = f"saved at step {numbers.count(state.saved_step)}" if state.saved_step else "nothing to save yet"
            return [f"{page.alert(pad('interrupted', LABEL))}{saved}"]
        case "failed" | "paused" | "pruned":
            paint = page.bad if event.status == "failed" else page.alert
            return page.flow(paint(event.status), [escaped(event.detail)], indent=LABEL)
        case "finished" | "gate_failed":
            return []


_REFRESH_PER_SECOND = 8


class LiveProgress:
    """A listener and a context manager: the terminal is as it was when the block is left, whatever happened."""

    def __init__(self, stream: TextIO, *, page: Page = PLAIN) -> None:
        from rich.console import Console
        from rich.live import Live

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
        from rich.text import Text

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

    def _picture(self) -> Text:
        from rich.text import Text

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
