"""What charts over the steps of a run share: their axis, how values are written, and lines that are smoothed."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.views import numbers
from ftc.views.report.charts import Axis, Series
from ftc.views.report.history import Point, smoothed, thinned

__all__ = ["STEPS", "range_words", "raw_and_smoothed", "short"]

STEPS = Axis("step", "{:,.0f}".format, whole=True)
"""The horizontal axis."""
_SHORTEST_SMOOTHED = 12
_MEANS_DRAWN = 120
_LARGE = 1e9
"""From here on a value is written with an exponent."""


def raw_and_smoothed(prefix: str, points: Sequence[Point], color: int) -> list[Series]:
    """A faint line of every step and a main line of means; one line alone where steps are few."""
    if len(points) < _SHORTEST_SMOOTHED:
        return [Series(f"{prefix}each step", points, "line", color)]
    span = max(5, len(points) // 12) // 2 * 2 + 1
    stride = -(-len(points) // _MEANS_DRAWN)
    return [
        Series(f"{prefix}each step", thinned(points), "raw", color),
        Series(f"{prefix}mean of {span} steps", smoothed(points, span)[::stride], "line", color),
    ]


def range_words(points: Sequence[Point], name: str) -> str:
    """The first, the last, the lowest and the highest value in a sentence."""
    if not points:
        return f"No {name}."
    values = [value for _, value in points]
    (first, start), (last, end) = points[0], points[-1]
    return (
        f"The {name} is {short(start)} at step {round(first):,} and {short(end)} at step {round(last):,}, "
        f"between {short(min(values))} and {short(max(values))}."
    )


def short(value: float) -> str:
    """A value of an axis: `0.25`, `1.5`, `12,000`, `2e-4`, `3e+12`."""
    if value and abs(value) < 0.001:
        return numbers.rate(value)
    if abs(value) >= _LARGE:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
