"""The events of a run as series: what the report's charts show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ftc.spec.documents.events import Evaluated, Event, Noticed, PhaseEnded, Resumed, StepDone

__all__ = ["History", "Point", "history", "smoothed", "thinned"]

Point = tuple[float, float]
"""Step and value."""
_ONE = 1 << 1074
"""In units of the smallest float, of which every float is a whole number."""


@dataclass(frozen=True, slots=True)
class History:
    """What the run said, without the steps that were done again after a resume."""

    steps: tuple[StepDone, ...]
    looks: tuple[Evaluated, ...]
    """Looks at the validation split."""
    phases: tuple[PhaseEnded, ...]
    notices: tuple[Noticed, ...]

    def points(self, field: str) -> list[Point]:
        """One field of every step, such as `loss`."""
        return [(step.step, getattr(step, field)) for step in self.steps]

    def throughput(self) -> list[Point]:
        """Tokens per second of every step that took time."""
        return [(step.step, step.tokens / step.seconds) for step in self.steps if step.seconds > 0]

    def validation(self, metric: str) -> list[Point]:
        """One metric of every look at validation that has it."""
        return [(look.step, look.metrics[metric]) for look in self.looks if metric in look.metrics]


def history(events: Sequence[Event]) -> History:
    """Series out of events; a step that was done twice counts once, as it was done last."""
    steps: dict[int, StepDone] = {}
    looks: dict[int, Evaluated] = {}
    for event in events:
        match event:
            case StepDone():
                steps[event.step] = event
            case Evaluated():
                looks[event.step] = event
            case Resumed():
                steps = {step: done for step, done in steps.items() if step <= event.step}
                looks = {step: look for step, look in looks.items() if step <= event.step}
            case _:
                pass
    return History(
        steps=tuple(steps[step] for step in sorted(steps)),
        looks=tuple(looks[step] for step in sorted(looks)),
        phases=tuple(event for event in events if isinstance(event, PhaseEnded)),
        notices=tuple(event for event in events if isinstance(event, Noticed)),
    )


def smoothed(points: Sequence[Point], span: int) -> list[Point]:
    """The mean of `span` points around each one, of fewer at both ends; unlike a trailing mean it does not lag.

    Sums are exact, so that a spike, such as a gradient norm of 1e17, takes nothing from the means behind it.
    """
    sums = list(accumulate((_units(value) for _, value in points), initial=0))
    means = []
    for index, (step, _) in enumerate(points):
        start, end = max(0, index - span // 2), min(len(points), index + span // 2 + 1)
        means.append((step, (sums[end] - sums[start]) / ((end - start) * _ONE)))
    return means


def _units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_ONE // denominator)


def thinned(points: Sequence[Point], limit: int = 600) -> list[Point]:
    """At most about `limit` points: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(2 * len(points) / limit)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        stretch = range(start, min(start + size, len(points)))
        kept.add(min(stretch, key=lambda index: points[index][1]))
        kept.add(max(stretch, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]
