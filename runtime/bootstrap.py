"""How far a measured value could be off by the chance of which rows were in the test split.

A metric is a function of sums over rows: accuracy of the number of right answers and of rows, F1 of three counts a
class, BLEU of n-gram counts. So a resample of the rows is a weighted sum of their statistics, and thousands of
resamples are one product of matrices, whatever the metric. The interval is Efron's BCa (Better Bootstrap Confidence
Intervals, 1987), which, unlike plain percentiles, stays right where a metric is biased or skewed on few rows. Two
models on the same rows are resampled together, since the same rows are hard for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Interval", "Values", "difference_interval", "value_interval"]

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]
"""A metric as a function of summed statistics: (..., K) to (...)."""

_CHUNK_CELLS = 4_000_000
"""Resampled weights that are held at once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value would lie, at the given level, had other rows of the same kind been drawn."""

    low: float
    high: float
    level: float

    @property
    def shows_difference(self) -> bool:
        """Whether zero lies outside, so that an interval of a difference shows one."""
        return self.low > 0 or self.high < 0


def value_interval(
    rows: Floats, value: Values, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval | None:
    """The interval of one model's metric.

    Args:
        rows: (N, K) statistics of each row.
        value: The metric of their sum.
        seed: Seed of the resampling: the same rows always give the same interval.
        resamples: Resamples that are drawn.
        level: Share of repetitions in which the interval should hold the true value.

    Returns:
        None where the rows can't tell: fewer than two, or all alike, so that no resample differs from another.
    """
    total = rows.sum(axis=0)
    observed = float(value(total))
    drawn = np.sort(np.concatenate(list(_resampled(rows, value, seed, resamples))))
    if len(rows) < 2 or not np.isfinite(drawn).all() or drawn[0] == drawn[-1]:
        return None
    bias = _bias(drawn, observed)
    skew = _acceleration(value(total - rows))
    reach = _reach(level, len(rows) - 1)
    low, high = (_adjusted(point, bias, skew) for point in (-reach, reach))
    return Interval(float(np.quantile(drawn, low)), float(np.quantile(drawn, high)), level)


def difference_interval(
    base: Floats, tuned: Floats, value: Values, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval | None:
    """The interval of what a metric gains from one model to another on the same rows; see `value_interval`.

    Args:
        base: (N, K) statistics of the first model, row by row.
        tuned: (N, K) statistics of the second model on the same rows.
        value: The metric of a model's sum.
        seed: Seed of the resampling.
        resamples: Resamples that are drawn.
        level: Share of repetitions in which the interval should hold the true gain.
    """
    width = base.shape[1]

    def gain(sums: Floats) -> Floats:
        return value(sums[..., width:]) - value(sums[..., :width])

    return value_interval(np.hstack((base, tuned)), gain, seed=seed, resamples=resamples, level=level)


def _resampled(rows: Floats, value: Values, seed: int, resamples: int) -> Iterator[Floats]:
    """Values of resamples: each draws as many rows as there are, with replacement."""
    count = len(rows)
    generator = np.random.Generator(np.random.PCG64(seed))
    step = max(1, _CHUNK_CELLS // max(1, count))
    for start in range(0, resamples, step):
        draws = generator.integers(count, size=(min(step, resamples - start), count))
        offsets = np.arange(len(draws))[:, None] * count
        weights = np.bincount((draws + offsets).ravel(), minlength=draws.size).reshape(draws.shape)
        yield value(weights @ rows)


def _bias(drawn: Floats, observed: float) -> float:
    """How far the median of the resamples stands from the value, in standard normal units; ties count half."""
    hair = 1e-12 * max(1.0, abs(observed))  # what rounding may do to equal values
    below, up_to = np.searchsorted(drawn, [observed - hair, observed + hair])
    share = (below + up_to) / 2 / len(drawn)
    return NormalDist().inv_cdf(min(max(share, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))


def _acceleration(left_out: Floats) -> float:
    """How the metric's spread moves with its value, from the values with each row left out in turn."""
    apart = left_out.mean() - left_out
    spread = float((apart**2).sum()) ** 1.5
    return float((apart**3).sum()) / (6 * spread) if spread > 0 else 0.0


def _reach(level: float, freedom: int) -> float:
    """The normal quantile of the level, widened as Student's is on few rows (Hesterberg 2015, the expanded interval).

    Resamples spread by N - 1 over N less than repetitions would, and the quantile itself is that of a spread which is
    only estimated; by the series of Abramowitz & Stegun 26.7.5.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return student * math.sqrt((freedom + 1) / freedom)


def _adjusted(point: float, bias: float, skew: float) -> float:
    """The quantile of the resamples that stands for a normal quantile."""
    moved = bias + point
    return NormalDist().cdf(bias + moved / max(1e-9, 1 - skew * moved))
