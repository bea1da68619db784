"""How sure a measurement is: an interval for each metric, and for what tuning gained on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.runtime.bootstrap import Interval, difference, intervals
from ftc.runtime.evaluate import Measurement
from ftc.runtime.measures import Measures
from ftc.spec import record

__all__ = ["Certainty", "certainty"]


@dataclass(frozen=True, slots=True)
class Certainty:
    """Intervals by metric. A metric is absent where its rows are too few or too alike to tell."""

    tuned: dict[str, record.Interval]
    base: dict[str, record.Interval]
    gains: dict[str, record.Gain]


def certainty(base: Measurement | None, tuned: Measurement, measures: Measures) -> Certainty:
    """Resamples the rows of a measurement, for all metrics and both models together."""
    names = list(tuned.result.metrics)
    of_tuned = [measures.statistics(name, tuned.scores, tuned.texts) for name in names]
    of_base = [measures.statistics(name, base.scores, base.texts) for name in names] if base else []
    of_gains = [difference(*pair) for pair in zip(of_base, of_tuned, strict=True)] if base else []
    found = [_document(one) for one in intervals([*of_tuned, *of_base, *of_gains])]
    by_tuned, by_base, by_gain = (found[start : start + len(names)] for start in (0, len(names), 2 * len(names)))
    return Certainty(
        tuned=_known(names, by_tuned),
        base=_known(names, by_base),
        gains={
            name: record.Gain(value=tuned.result.metrics[name] - base.result.metrics[name], interval=interval)
            for name, interval in zip(names, by_gain, strict=False)
            if base
        },
    )


def _document(interval: Interval | None) -> record.Interval | None:
    return record.Interval(low=interval.low, high=interval.high) if interval else None


def _known(names: list[str], found: list[record.Interval | None]) -> dict[str, record.Interval]:
    return {name: one for name, one in zip(names, found, strict=False) if one is not None}
