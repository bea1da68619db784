"""How sure a measurement is: an interval for each metric, and for what tuning gained on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.metrics.bootstrap import Statistics, difference, intervals
from ftc.spec.documents.record import Gain, Interval

__all__ = ["Apart", "Certainty", "Means", "certainty", "means", "taken_apart"]


@dataclass(frozen=True, slots=True)
class Apart:
    """A measurement whose metrics are taken apart into rows.

    Attributes:
        measured: The measurement.
        statistics: What each row adds, by metric.
    """

    measured: Measurement
    statistics: dict[str, Statistics]


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


def taken_apart(measured: Measurement, measures: Measures) -> Apart:
    """A measurement with the statistics of all its metrics."""
    names = measured.result.metrics
    return Apart(measured, {name: measures.statistics(name, measured.scores, measured.texts) for name in names})


def certainty(base: Apart | None, tuned: Apart) -> Certainty:
    """Resamples the rows of a measurement, for all metrics and both models together."""
    names = list(tuned.statistics)
    of_tuned = list(tuned.statistics.values())
    of_base = [base.statistics[name] for name in names] if base else []
    of_gains = [difference(*pair) for pair in zip(of_base, of_tuned, strict=True)] if base else []
    found = intervals([*of_tuned, *of_base, *of_gains])
    by_tuned, by_base, by_gain = (found[start : start + len(names)] for start in (0, len(names), 2 * len(names)))
    after, before = tuned.measured.result.metrics, base.measured.result.metrics if base else {}
    return Certainty(
        tuned=_known(names, by_tuned),
        base=_known(names, by_base),
        gains={
            name: Gain(value=after[name] - before[name], interval=interval)
            for name, interval in zip(names, by_gain, strict=False)
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


def _known(names: list[str], found: list[Interval | None]) -> dict[str, Interval]:
    return {name: one for name, one in zip(names, found, strict=False) if one is not None}
