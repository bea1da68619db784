"""Metrics as functions of sums over rows: accuracy of right answers and of rows, BLEU of counts of n-grams.

Whatever is asked of a metric follows from one definition: its value from the sums of all rows, that of a group from the
sums of the group's rows, its interval from the sums of other draws of the rows (`ftc.runtime.metrics.bootstrap`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Statistics", "Values", "difference", "mean_of", "mean_of_groups", "ratio", "share_of"]

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]
"""A metric as a function of summed statistics: (..., K) to (...)."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A metric taken apart into rows.

    Attributes:
        rows: (N, K) what each row adds to the sums.
        value: The metric of the sums.
        shares: (N, 1) where the metric is a share of the rows: 1 for a row that counts, 0 for one that doesn't; (N, 2)
            where it is the difference of two such shares, with both. None for any other metric.
        telling: Of a difference the rows in which both sides differ: the others say nothing of it. None for all rows.
    """

    rows: Floats
    value: Values
    shares: Floats | None = None
    telling: int | None = None

    @property
    def observed(self) -> float:
        """The metric of all rows. The sums are exact before they are rounded once, so no order of rows changes it."""
        is_whole = (self.rows == np.floor(self.rows)).all(axis=0)
        sums = self.rows.sum(axis=0)
        sums[~is_whole] = [math.fsum(column) for column in self.rows.T[~is_whole].tolist()]
        return float(self.value(sums))

    def of(self, members: NDArray[np.bool_]) -> Statistics:
        """The metric of some rows alone; `members` is (N,)."""
        return Statistics(self.rows[members], self.value, None if self.shares is None else self.shares[members])


def difference(base: Statistics, tuned: Statistics) -> Statistics:
    """What a metric gains from one model to another on the same rows, which are resampled together."""
    width = base.rows.shape[1]

    def gain(sums: Floats) -> Floats:
        return tuned.value(sums[..., width:]) - base.value(sums[..., :width])

    both = None if base.shares is None or tuned.shares is None else np.hstack((base.shares, tuned.shares))
    is_alike = base.rows.shape == tuned.rows.shape
    telling = int((base.rows != tuned.rows).any(axis=1).sum()) if is_alike else None
    return Statistics(np.hstack((base.rows, tuned.rows)), gain, both, telling)


def ratio(sums: Floats) -> Floats:
    """The first of two sums by the second."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def mean_of(scores: Sequence[float]) -> Statistics:
    """The mean of one score a row."""
    values = np.array(scores, dtype=np.float64)
    return Statistics(np.stack((values, np.ones_like(values)), axis=1), ratio)


def share_of(scores: Sequence[float]) -> Statistics:
    """The share of rows that score 1, where the others score 0."""
    found = mean_of(scores)
    return Statistics(found.rows, found.value, shares=found.rows[:, :1])


def mean_of_groups(scores: Sequence[float], groups: Sequence[int]) -> Statistics:
    """The mean of scores where those of one group are drawn together."""
    names, places = np.unique(np.array(groups), return_inverse=True)
    rows = np.zeros((len(names), 2))
    np.add.at(rows, places, mean_of(scores).rows)
    return Statistics(rows, ratio)
