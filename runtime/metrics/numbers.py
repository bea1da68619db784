"""Metrics of predicted numbers, those of several numbers as the mean over the numbers.

Values are those of scikit-learn and scipy, which the tests hold them against; where a correlation has no value, because
one side never changes, it is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.statistics import Floats, Statistics, mean_of

__all__ = ["NUMBERS", "Numbers"]

_MOST_EXACT = 2_000
"""Rows up to which every resample's ranks are those of its own rows; of more, ranks take too long."""
_MOST_SURE = 18.0
"""Bound of Fisher's z, beyond which a correlation is 1 in float64."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What rows should be rated with, and what a model rates them with.

    Attributes:
        expected: (N, C) the right numbers.
        predicted: (N, C) the model's.
    """

    expected: Floats
    predicted: Floats


def _absolute(found: Numbers) -> Statistics:
    return mean_of(np.abs(found.expected - found.predicted).mean(axis=1).tolist())


def _rightly_rated(found: Numbers) -> Statistics:
    """Of ratings of 0 and 1, whether the score, which is the log odds of 1, is on the right side of 0."""
    return mean_of(((found.predicted > 0) == (found.expected > 0.5)).all(axis=1).astype(np.float64).tolist())


def _root_squared(found: Numbers) -> Statistics:
    errors = (found.expected - found.predicted) ** 2
    rows = np.hstack((errors, np.ones((len(errors), 1))))
    return Statistics(rows, lambda sums: np.sqrt(sums[..., :-1] / sums[..., -1:]).mean(axis=-1))


def _moments(found: Numbers) -> tuple[Floats, int]:
    """(N, 1 + 6C) what rows add to the moments of both sides around fixed places near their means, and C."""
    wanted, got = (side - side.mean(axis=0) for side in (found.expected, found.predicted))
    errors = (found.expected - found.predicted) ** 2
    ones = np.ones((len(wanted), 1))
    return np.hstack((ones, wanted, got, wanted**2, got**2, wanted * got, errors)), wanted.shape[1]


def _spreads(sums: Floats, count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """(..., C) sums of squares of both sides, their product, and of the errors, around the means of these rows."""
    rows, parts = sums[..., :1], np.split(sums[..., 1:], 6, axis=-1)
    assert parts[0].shape[-1] == count
    wanted, got, squares, others, products, errors = parts
    return squares - wanted**2 / rows, others - got**2 / rows, products - wanted * got / rows, errors


def _is_spread(squares: Floats, sums: Floats) -> NDArray[np.bool_]:
    """Whether a side changes from row to row by more than rounding."""
    return squares > 1e-13 * np.maximum(sums, 1e-300)


def _determination(found: Numbers) -> Statistics:
    rows, count = _moments(found)

    def value(sums: Floats) -> Floats:
        wanted, _, _, errors = _spreads(sums, count)
        changes = _is_spread(wanted, sums[..., 1 + 2 * count : 1 + 3 * count])
        fitted = 1 - errors / np.where(changes, wanted, 1.0)
        return np.asarray(np.where(changes, fitted, np.where(errors > 0, 0.0, 1.0)).mean(axis=-1))

    return Statistics(rows, value)


def _pearson(found: Numbers) -> Statistics:
    rows, count = _moments(found)

    def value(sums: Floats) -> Floats:
        wanted, got, product, _ = _spreads(sums, count)
        changes = _is_spread(wanted, sums[..., 1 + 2 * count : 1 + 3 * count])
        changes &= _is_spread(got, sums[..., 1 + 3 * count : 1 + 4 * count])
        whole = np.sqrt(np.where(changes, wanted * got, 1.0))
        return np.asarray(np.where(changes, np.clip(product / whole, -1, 1), 0.0).mean(axis=-1))

    return Statistics(rows, value)


def _spearman(found: Numbers) -> Statistics:
    if len(found.expected) > _MOST_EXACT:
        return _many_ranks(found)
    pairs = [(_Ranks(wanted), _Ranks(got)) for wanted, got in zip(found.expected.T, found.predicted.T, strict=True)]

    count = len(found.expected)

    def value(sums: Floats) -> Floats:
        weights = sums[..., :count]
        each = [_correlation(one(weights), other(weights), weights) for one, other in pairs]
        return np.asarray(np.mean(each, axis=0))

    # How often each row is drawn; its predictions tell in which rows two models differ.
    return Statistics(np.hstack((np.eye(count), found.predicted)), value)


class _Ranks:
    """Ranks of numbers of which each occurs any number of times; equal ones share the mean of their ranks."""

    def __init__(self, numbers: Floats) -> None:
        _, self._groups, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        self._order = np.argsort(self._groups, kind="stable")
        self._starts = np.cumsum(counts) - counts

    def __call__(self, weights: Floats) -> Floats:
        """(..., N) ranks where number i occurs `weights[..., i]` times."""
        held = np.add.reduceat(weights[..., self._order], self._starts, axis=-1)
        return np.asarray((np.cumsum(held, axis=-1) - held / 2)[..., self._groups])


def _correlation(one: Floats, other: Floats, weights: Floats) -> Floats:
    """(...) Pearson's correlation of (..., N) values that occur so many times."""
    rows = weights.sum(axis=-1, keepdims=True)
    first, second = (side - (side * weights).sum(axis=-1, keepdims=True) / rows for side in (one, other))
    spread = (weights * first**2).sum(axis=-1) * (weights * second**2).sum(axis=-1)
    product = (weights * first * second).sum(axis=-1)
    return np.where(spread > 1e-9, np.clip(product / np.sqrt(np.maximum(spread, 1e-300)), -1, 1), 0.0)


def _many_ranks(found: Numbers) -> Statistics:
    """The same for many rows, to first order: Fisher's z of each number, as a mean of what rows add to it.

    A row adds its influence (Hampel 1974): that on the covariance of the ranks, and that on the ranks of all others.
    """
    columns = [_influences(*pair) for pair in zip(found.expected.T, found.predicted.T, strict=True)]
    rows = np.stack((*columns, np.ones(len(found.expected))), axis=1)

    def again(members: NDArray[np.bool_]) -> Statistics:
        return _spearman(Numbers(found.expected[members], found.predicted[members]))

    return Statistics(rows, lambda sums: np.tanh(sums[..., :-1] / sums[..., -1:]).mean(axis=-1), again=again)


def _influences(wanted: Floats, got: Floats) -> Floats:
    """(N,) what each row adds to Fisher's z of the ranks' correlation; the mean is z itself."""
    ones = np.ones(len(wanted))
    ranks = [_Ranks(side)(ones) / len(wanted) for side in (wanted, got)]
    spreads = [side.std() for side in ranks]
    if min(spreads) < 1e-9:
        return np.zeros(len(wanted))
    one, other = ((side - side.mean()) / spread for side, spread in zip(ranks, spreads, strict=True))
    whole = float((one * other).mean())
    direct = one * other - whole / 2 * (one**2 + other**2)
    # A further row at i moves the ranks of those above it up, and by half those that equal it.
    through = [
        _above(side, slope) / spread - (slope * rank).mean() / spread
        for side, slope, rank, spread in (
            (wanted, other - whole * one, ranks[0], spreads[0]),
            (got, one - whole * other, ranks[1], spreads[1]),
        )
    ]
    bounded = min(max(whole, -np.tanh(_MOST_SURE)), np.tanh(_MOST_SURE))
    influence = direct + through[0] + through[1]
    return np.asarray(np.arctanh(bounded) + (influence - influence.mean()) / max(1e-12, 1 - bounded**2))


def _above(numbers: Floats, slopes: Floats) -> Floats:
    """(N,) mean over all rows of the slopes of those above each number, and of half of those that equal it."""
    _, groups = np.unique(numbers, return_inverse=True)
    held = np.bincount(groups, weights=slopes)
    return np.asarray((held.sum() - np.cumsum(held) + held / 2)[groups] / len(numbers))


NUMBERS: dict[str, Callable[[Numbers], Statistics]] = {
    "mae": _absolute,
    "rating_accuracy": _rightly_rated,
    "rmse": _root_squared,
    "r2": _determination,
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Metrics of numbers."""
