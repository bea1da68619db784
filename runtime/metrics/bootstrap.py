"""How far a measured value could be off by the chance of which rows were in the test split.

A metric is a function of sums over rows: accuracy of the number of right answers and of rows, F1 of three counts a
class, BLEU of n-gram counts. So a resample of the rows is a weighted sum of their statistics, and thousands of
resamples are one product of matrices, whatever the metric. The interval is Efron's BCa (Better Bootstrap Confidence
Intervals, 1987), which, unlike plain percentiles, stays right where a metric is biased or skewed on few rows. Two
models on the same rows are resampled together, since the same rows are hard for both. Shares of rows need no resamples,
and have better intervals without (`ftc.runtime.metrics.shares`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.shares import gain_interval, share_interval
from ftc.spec.documents.record import Interval

__all__ = ["Statistics", "Values", "difference", "intervals", "student"]

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]
"""A metric as a function of summed statistics: (..., K) to (...)."""

_CHUNK_CELLS = 4_000_000
"""Resampled weights that are held at once."""

_LEAST_TELLING = 5
"""Rows in which two models have to differ. Of fewer, resamples hold too little of what other rows would have shown: in
simulated pairs their intervals held the true difference in 75 to 90 %."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A metric taken apart into rows.

    Attributes:
        rows: (N, K) what each row adds to the sums.
        value: The metric of the sums.
        shares: (N, 1) where the metric is a share of the rows: 1 for a row that counts, 0 for one that doesn't; (N, 2)
            where it is what one such share has more than another, with both. None for any other metric.
        telling: Of a difference the rows in which both sides differ: the others say nothing of it. None for all rows.
    """

    rows: Floats
    value: Values
    shares: Floats | None = None
    telling: int | None = None

    @property
    def observed(self) -> float:
        """The metric of all rows."""
        return float(self.value(self.rows.sum(axis=0)))

    def of(self, members: NDArray[np.bool_]) -> Statistics:
        """The metric of some rows alone; `members` is (N,)."""
        return Statistics(self.rows[members], self.value, None if self.shares is None else self.shares[members])


def difference(base: Statistics, tuned: Statistics) -> Statistics:
    """What a metric gains from one model to another on the same rows, which are resampled together."""
    width = base.rows.shape[1]

    def gain(sums: Floats) -> Floats:
        return tuned.value(sums[..., width:]) - base.value(sums[..., :width])

    both = None if base.shares is None or tuned.shares is None else np.hstack((base.shares, tuned.shares))
    return Statistics(np.hstack((base.rows, tuned.rows)), gain, both, _telling(base.rows, tuned.rows))


def _telling(base: Floats, tuned: Floats) -> int | None:
    return int((base != tuned).any(axis=1).sum()) if base.shape == tuned.shape else None


def intervals(
    metrics: Sequence[Statistics], *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> list[Interval | None]:
    """The interval of each of some metrics of the same rows.

    Args:
        metrics: The metrics; all have as many rows.
        seed: Seed of the resampling: the same rows always give the same intervals.
        resamples: Resamples that are drawn.
        level: Share of repetitions in which an interval should hold the true value.

    Returns:
        In the order of the metrics, shares in closed form; None where the rows can't tell: there are none, or of other
        metrics fewer than two, or all alike, so that no resample differs from another, or, of a difference, fewer than
        five of many in which both sides differ.
    """
    others = [one for one in metrics if one.shares is None]
    resampled = iter(_by_resamples(others, seed, resamples, level))
    return [next(resampled) if one.shares is None else _of_shares(one.shares, level) for one in metrics]


def _of_shares(shares: Floats, level: float) -> Interval | None:
    if not len(shares):
        return None
    columns = [column.astype(bool).tolist() for column in shares.T]
    return share_interval(columns[0], level) if len(columns) == 1 else gain_interval(columns[0], columns[1], level)


def _by_resamples(metrics: Sequence[Statistics], seed: int, resamples: int, level: float) -> list[Interval | None]:
    if not metrics or len(metrics[0].rows) < 2:
        return [None] * len(metrics)
    drawn = np.concatenate(list(_resampled(metrics, seed, resamples)))
    return [_interval(one, np.sort(values), level) for one, values in zip(metrics, drawn.T, strict=True)]


def _resampled(metrics: Sequence[Statistics], seed: int, resamples: int) -> Iterator[Floats]:
    """(some, M) values of each metric in resamples: each draws as many rows as there are, with replacement."""
    count = len(metrics[0].rows)
    generator = np.random.Generator(np.random.PCG64(seed))
    step = max(1, _CHUNK_CELLS // count)
    for start in range(0, resamples, step):
        draws = generator.integers(count, size=(min(step, resamples - start), count))
        offsets = np.arange(len(draws))[:, None] * count
        weights = np.bincount((draws + offsets).ravel(), minlength=draws.size).reshape(draws.shape).astype(np.float64)
        yield np.stack([one.value(weights @ one.rows) for one in metrics], axis=1)


def _interval(metric: Statistics, drawn: Floats, level: float) -> Interval | None:
    telling = len(metric.rows) if metric.telling is None else metric.telling
    if not np.isfinite(drawn).all() or drawn[0] == drawn[-1] or telling < min(_LEAST_TELLING, len(metric.rows)):
        return None
    bias = _bias(drawn, metric.observed)
    skew = _acceleration(metric.value(metric.rows.sum(axis=0) - metric.rows))
    reach = _reach(level, telling - 1)
    low, high = (float(np.quantile(drawn, _adjusted(point, bias, skew))) for point in (-reach, reach))
    return Interval(low=low, high=high)


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
    only estimated. Of a difference N is the number of rows that tell of it.
    """
    return student(level, freedom) * math.sqrt((freedom + 1) / freedom)


def student(level: float, freedom: float) -> float:
    """Student's two-sided quantile, by the series of Abramowitz & Stegun 26.7.5; the normal one without an end."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _adjusted(point: float, bias: float, skew: float) -> float:
    """The quantile of the resamples that stands for a normal quantile."""
    moved = bias + point
    return NormalDist().cdf(bias + moved / max(1e-9, 1 - skew * moved))
