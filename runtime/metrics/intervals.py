"""How sure a measurement is: an interval for each metric, and for what tuning gained on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.metrics.bootstrap import intervals
from ftc.runtime.metrics.sums import Statistics, difference
from ftc.spec.documents.record import Gain, Interval

__all__ = ["Certainty", "Means", "certainty", "means"]


@dataclass(frozen=True, slots=True)
class Certainty:
    """Intervals by metric. A metric is absent where its rows are too few or too alike to tell."""

    tuned: dict[str, Interval]
    base: dict[str, Interval]
    gains: dict[str, Gain]


@dataclass(frozen=True, slots=True)
class Means:
    """Means of scores of the tuned model's rows, and of the base's where it was measured on the same rows."""

    tuned: float
    interval: Interval | None
    base: float | None
    gain: Gain | None


def certainty(base: Measurement | None, tuned: Measurement) -> Certainty:
    """Resamples the rows of a measurement, for all metrics and both models together."""
    names, after, before = list(tuned.statistics), tuned.statistics, base.statistics if base else {}
    gains = {name: difference(before[name], after[name]) for name in names if before}
    found = iter(intervals([*after.values(), *(before[name] for name in names if before), *gains.values()]))
    of_tuned, of_base, of_gains = ({name: next(found) for name in some} for some in (after, gains, gains))
    return Certainty(
        tuned={name: one for name, one in of_tuned.items() if one is not None},
        base={name: one for name, one in of_base.items() if one is not None},
        gains={
            name: Gain(value=tuned.result.metrics[name] - base.result.metrics[name], interval=interval)
            for name, interval in of_gains.items()
            if base
        },
    )


def means(found: Sequence[Statistics]) -> Means:
    """Means or shares with their intervals, and what tuning gained.

    Args:
        found: The tuned model's, then the base's of the same rows where it was measured.
    """
    tuned, *others = found
    gains = [difference(base, tuned) for base in others]
    sure, *between = intervals([tuned, *gains])
    gain = Gain(value=gains[0].observed, interval=between[0]) if gains else None
    return Means(tuned.observed, sure, others[0].observed if others else None, gain)
