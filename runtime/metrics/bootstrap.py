"""How far a measured value could be off by the chance of which rows were in the test split.

A metric is a function of sums over rows: accuracy of the number of right answers and of rows, F1 of three counts a
class, BLEU of n-gram counts. So a resample of the rows is a weighted sum of their statistics, and thousands of
resamples are one product of matrices, whatever the metric. The interval is Efron's BCa (Better Bootstrap Confidence
Intervals, 1987), which, unlike plain percentiles, stays right where a metric is biased or skewed on few rows. Two
models on the same rows are resampled together, since the same rows are hard for both.

Shares of rows have exact intervals, and better ones. Resamples fail where few rows tell something: of rows that are all
right no resample differs from another, and where two models differ on three rows of a hundred, too few resamples hold
what a further hundred rows could have shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np

from ftc.runtime.metrics.sums import Floats, Statistics
from ftc.spec.documents.record import Interval

__all__ = ["gain_interval", "intervals", "share_interval", "student"]

_CHUNK_CELLS = 4_000_000
"""Resampled weights that are held at once."""

_LEAST_TELLING = 5
"""Rows in which two models have to differ. Of fewer, resamples hold too little of what other rows would have shown: in
simulated pairs their intervals held the true difference in 75 to 90 %."""


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


def share_interval(flags: Sequence[bool], level: float = 0.95) -> Interval:
    """The exact interval of a share (Clopper & Pearson 1934). Unlike resamples it tells what no row of many says: none
    of 200 means less than 1.8 %.
    """
    from scipy.stats import binomtest

    found = binomtest(sum(flags), len(flags)).proportion_ci(level, method="exact")
    return Interval(low=float(found.low), high=float(found.high))


def gain_interval(base: Sequence[bool], tuned: Sequence[bool], level: float = 0.95) -> Interval:
    """The interval of what a share gains on the same rows (Bonett & Price 2012): only rows that differ tell, and one
    more of each kind is counted than there are, so that few of them promise no more than they hold.
    """
    more = 1 + sum(after and not before for before, after in zip(base, tuned, strict=True))
    fewer = 1 + sum(before and not after for before, after in zip(base, tuned, strict=True))
    rows = len(base) + 2
    middle = (more - fewer) / rows
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(((more + fewer) / rows - middle**2) / rows)
    return Interval(low=max(-1.0, middle - reach), high=min(1.0, middle + reach))
