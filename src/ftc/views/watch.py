"""A run while it goes on: where it stands, its curves, speed, memory and time, in as much space as there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ftc.spec.documents.events import EarlyStopped, Evaluated, Event, Noticed, PhaseStarted, Resumed, RunEnded
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.views import numbers
from ftc.views.curve import curve
from ftc.views.page import LABEL, Page, escaped, pad, shorten, visible_width
from ftc.views.progress import RunState, event_lines, phase_label, step_lines, validation_words
from ftc.views.report.training import History, history, smoothed
from ftc.views.words import metric_title

__all__ = ["Watched", "watch_lines"]

_ROWS = 7
"""Lines of a curve."""
_APART = 4
"""Cells between two curves."""
_NARROWEST = 34
"""Cells of the narrowest curve that stands beside another one."""
_WIDEST = 72
_LATEST = 4
"""Events that are named at most."""
_SMOOTHED_FROM = 24
"""Steps from which the training loss is smoothed."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a run at one moment.

    Attributes:
        plan: Its plan.
        record: Its record; of a run whose process is gone, as the next process will find it.
        events: What it said so far.
        machine: What the machine does now, by the names that trackers get; empty where nothing is known.
        seconds: Seconds since the run began, or that it took.
    """

    plan: Plan
    record: RunRecord
    events: Sequence[Event]
    machine: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no process works on the run."""
        return self.record.status != "running"


def watch_lines(found: Watched, page: Page) -> list[str]:
    """The picture, as lines no wider than the page; a low terminal cuts off its end, so figures come first."""
    state = RunState(num_steps=found.plan.settings.train.num_steps)
    for event in found.events:
        state.add(event)
    run = history(found.events)
    record = found.record
    paint = {"finished": page.good, "running": page.accent, "failed": page.bad, "gate_failed": page.bad}
    status = paint.get(record.status, page.alert)(record.status.replace("_", " "))
    base = shorten(escaped(found.plan.model.name), 30)
    return [
        *page.flow(page.strong(record.name), [record.id, base, status], indent=LABEL),
        *_progress(found, state, page),
        *page.flow("speed", _speed(run, state), indent=LABEL),
        *page.flow("memory", _memory(found), indent=LABEL),
        *page.flow("time", _time(found, state), indent=LABEL),
        "",
        *_curves(found, run, page),
        *_latest(found.events, state, page),
    ]


def _progress(found: Watched, state: RunState, page: Page) -> list[str]:
    """Where training stands; of another part of the run, which it is."""
    phase = next((event for event in reversed(found.events) if isinstance(event, PhaseStarted)), None)
    lines = step_lines(state, page)
    if found.is_over or phase is None or phase.phase == "train":
        return lines
    return [
        *lines,
        f"{pad(phase_label(phase.phase), LABEL)}{escaped(shorten(phase.detail, page.columns - LABEL - 2))} …",
    ]


def _curves(found: Watched, run: History, page: Page) -> list[str]:
    """The training loss beside what validation measures; below each other on a narrow page."""
    series = [one for one in _series(found.plan, run) if one[1]]
    beside = max(1, min(len(series), (page.columns + _APART) // (_NARROWEST + _APART)))
    series = series[: max(beside, 2)]
    columns = min(_WIDEST, (page.columns + _APART) // beside - _APART)
    lines: list[str] = []
    for start in range(0, len(series), beside):
        drawn = [curve(title, points, columns, _ROWS, page) for title, points in series[start : start + beside]]
        for row in zip(*drawn, strict=True):
            padded = (line + " " * (columns - visible_width(line)) for line in row)
            lines.append((" " * _APART).join(padded).rstrip())
        lines.append("")
    return lines


def _series(plan: Plan, run: History) -> Iterator[tuple[str, Sequence[tuple[float, float]]]]:
    """Titles and points: the training loss, the validation loss, and the metric that the best checkpoint goes by."""
    loss = run.points("loss")
    is_smoothed = len(loss) >= _SMOOTHED_FROM
    yield (
        "training loss" + (", smoothed" if is_smoothed else ""),
        (smoothed(loss, max(5, len(loss) // 12)) if is_smoothed else loss),
    )
    chosen = plan.settings.train.select_metric
    for name in dict.fromkeys(["val_loss", chosen if chosen == "val_loss" else chosen.removeprefix("val_")]):
        yield f"validation {metric_title(name.removeprefix('val_'))}", run.validation(name)


def _speed(run: History, state: RunState) -> list[str]:
    seconds = sum(step.seconds for step in run.steps)
    if state.tokens_per_second is None or not seconds:
        return ["not measured yet"]
    mean = sum(step.tokens for step in run.steps) / seconds
    each = sum(step.seconds for step in state.recent) / len(state.recent)
    return [
        f"{numbers.count(round(state.tokens_per_second))} tok/s now",
        f"{numbers.count(round(mean))} on average",
        f"{numbers.duration(each) if each >= 1 else f'{each * 1000:.{0 if each >= 0.01 else 1}f} ms'} a step",
    ]


def _memory(found: Watched) -> Iterator[str]:
    planned = f"planned {numbers.byte_size(found.plan.memory.peak_bytes)}"
    now, peak = found.machine.get("system/process_memory_bytes"), found.record.peak_memory_bytes
    if now is not None:
        yield f"{numbers.byte_size(round(now))} host RAM now"
    if peak is not None:
        yield f"{numbers.byte_size(peak)} at most so far" if not found.is_over else f"{numbers.byte_size(peak)} at most"
    yield planned
    index = 0
    while (used := found.machine.get(f"system/gpu{index}_memory_bytes")) is not None:
        busy = found.machine.get(f"system/gpu{index}_utilization_percent")
        yield f"GPU {index}: {numbers.byte_size(round(used))}" + (f", {busy:.0f} % busy" if busy is not None else "")
        index += 1


def _time(found: Watched, state: RunState) -> Iterator[str]:
    if found.seconds is not None:
        yield f"{numbers.duration(found.seconds)} {'in all' if found.is_over else 'so far'}"
    if not found.is_over and (left := state.seconds_left) is not None:
        yield f"{numbers.clock(left)} of training left"
    if found.plan.time is not None:
        yield f"planned {numbers.duration_range(found.plan.time.low_seconds, found.plan.time.high_seconds)}"
    else:
        yield "time not estimated"


def _latest(events: Sequence[Event], state: RunState, page: Page) -> list[str]:
    """The last events that say more than that a step is done."""
    lines: list[str] = []
    for event in reversed(events):
        if len(lines) >= _LATEST:
            break
        if isinstance(event, Evaluated):
            said = [f"step {numbers.count(event.step)}", validation_words(event)]
            said += [page.good("best so far")] if event.best else []
            lines[:0] = page.flow("validation", said, indent=LABEL)
        elif isinstance(event, Noticed | EarlyStopped | Resumed | RunEnded):
            lines[:0] = event_lines(event, state, page)
    return lines
