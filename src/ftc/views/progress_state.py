"""What the events of a run add up to, and the lines that show it. Pure: clocks and terminals are elsewhere."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ftc.spec.documents.events import CheckpointSaved, Evaluated, Event, PhaseEnded, RunStarted, StepDone
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import metric_title
from ftc.views.page import Page, pad

__all__ = ["LABEL", "RunState", "bar", "phase_label", "phase_line", "training_lines", "validation_words"]

LABEL = 12
"""Columns of the labels at the left of progress lines."""
_LABELS = {
    "verify": "verifying",
    "prove": "proving",
    "reference": "reference",
    "load": "loading",
    "train": "training",
    "export": "exporting",
    "merge": "merging",
    "compare": "comparing",
    "evaluate": "evaluating",
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


def bar(done: int, total: int, cells: int, page: Page) -> str:
    """A line that fills up; the figures beside it carry the same."""
    full = cells * done // total if total > 0 else 0
    if full >= cells:
        return page.good("━" * cells)
    return page.accent("━" * full + "╺") + page.faint("━" * (cells - full - 1))


def training_lines(state: RunState, page: Page) -> list[str]:
    """Two lines that are redrawn: where training stands, and how fast it goes."""
    if state.step is None:
        return [f"{pad('training', LABEL)}{bar(0, 1, _BAR_CELLS, page)}  0/{state.num_steps}"]
    step = state.step
    cells = max(5, min(_BAR_CELLS, page.columns - 69))
    first = (
        f"{pad('training', LABEL)}{bar(step.step, state.num_steps, cells, page)}  {step.step}/{state.num_steps}  "
        f"epoch {step.epoch:.1f}  loss {numbers.metric(step.loss)}  lr {numbers.rate(step.learning_rate)}"
    )
    return [first, *page.flow("", _speed_words(state), indent=LABEL)]


def _speed_words(state: RunState) -> list[str]:
    words = []
    if speed := state.tokens_per_second:
        words.append(f"{numbers.count(round(speed))} tok/s")
    if state.validation:
        words.append(f"validation {validation_words(state.validation)} ({_standing(state.validation, state.best)})")
    if (left := state.seconds_left) is not None:
        words.append(f"{numbers.clock(left)} left")
    return words


def _standing(latest: Evaluated, best: Evaluated | None) -> str:
    if latest.best or best is None:
        return f"best, step {latest.step}"
    return f"step {latest.step}; best at {best.step}"


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
