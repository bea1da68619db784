"""Tests of whether two samples differ, each with the difference that it would have seen.

They come from scipy and scikit-learn where these have them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.tfidf import vectorizer
from ftc.spec.documents.data_drift import DriftAspect

__all__ = [
    "Counts",
    "Found",
    "by_error",
    "classifier_test",
    "counted",
    "distances",
    "distributed",
    "named",
    "out_of_fold",
    "tfidf_weights",
]

Floats = NDArray[np.float64]
Counts = tuple[int, int]
"""Rows that something is true of, and rows."""
Power = Callable[[float], float]
"""The difference that is seen in 80 of 100 cases, by the level of one test."""

_FOLDS = 5
_COMMON = 0.9
"""Share of the rows from which a token tells nothing: a template's, or a system message's."""
_NEIGHBORS = 5
_PERMUTATIONS = 9_999
_POWER = 0.8
_ENOUGH = 25
"""Permutations as far apart as what was seen, after which p is known well enough."""
_RIDGE = 1.0
_MOST_ROWS = 2_000
"""Rows of one side that a classifier is fitted to."""
_AT_ONCE = 512
"""Rows or permutations that are computed at a time."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Found:
    """A test before it is known how many others there are."""

    name: str
    aspect: DriftAspect
    method: str
    rows: tuple[int, int]
    value: float
    unit: str
    p: float
    power: Power
    detail: str


def tfidf_weights(reference: Sequence[Sequence[int]], new: Sequence[Sequence[int]]) -> Any:
    """(N, F) TF-IDF weights of tokens and token pairs, rows of length 1, without what nearly all rows have."""
    rows = [*reference, *new]
    for common in (_COMMON, 1.0):
        try:
            return vectorizer(common=common).fit_transform(rows)
        except ValueError:  # all rows are alike, or empty
            continue
    from scipy.sparse import csr_matrix

    return csr_matrix((len(rows), 1))


def classifier_test(name: str, aspect: DriftAspect, rows: Any, first: int, keys: Sequence[int]) -> Found:
    """Whether a classifier tells new rows from the run's, on rows that it wasn't fitted to (Lopez-Paz & Oquab 2017).

    It is a least-squares classifier in folds, since its scores are a product of one matrix with the rows' sides: so
    they are computed for thousands of permutations of the sides as well, and p is exact, whatever the folds do. Scores
    of one fold are compared with each other alone; rows with the same text are in one fold, so that none is recognized.

    Args:
        name: What the rows are called.
        aspect: What they are.
        rows: (N, F) of length 1, those of the run first.
        first: How many these are.
        keys: What is equal of rows with the same text.
    """
    each = range(first), range(first, rows.shape[0])
    chosen = [row for side in each for row in side[:: -(-len(side) // _MOST_ROWS)]]
    sides = (np.array(chosen) >= first).astype(np.float64)
    distinct, kind = np.unique(np.array([keys[row] for row in chosen]), return_inverse=True)
    generator = np.random.default_rng(0)
    folds = np.asarray(generator.permutation(len(distinct))[kind] % _FOLDS, np.int64)  # they know nothing of sides
    matrices = out_of_fold(rows[chosen], folds)
    seen = float(_aucs(matrices, folds, sides[:, None])[0])
    drawn = np.empty(0)
    while len(drawn) < _PERMUTATIONS and (drawn >= seen - 1e-9).sum() < _ENOUGH:  # Besag & Clifford (1991)
        order = generator.permuted(np.tile(np.arange(len(sides)), (_AT_ONCE, 1)), axis=1)
        drawn = np.concatenate([drawn, _aucs(matrices, folds, sides[order].T)])
    middle, error = float(drawn.mean()), float(drawn.std())
    power = by_error(error, sides=1)
    return Found(
        name=name,
        aspect=aspect,
        method="classifier two-sample test by permutations",
        rows=(first, rows.shape[0] - first),
        value=seen,
        unit="AUC",
        p=(1 + int((drawn >= seen - 1e-9).sum())) / (1 + len(drawn)),
        power=lambda level: min(1.0, max(0.5, middle + power(level))),
        detail=f"{middle:.2f} with random sides",
    )


def out_of_fold(rows: Any, folds: NDArray[np.int64]) -> list[Floats]:
    """For each fold the matrix that scores its rows by the sides of all others, as a ridge regression does."""
    alike = rows @ rows.T
    kernel = np.asarray(alike.toarray() if hasattr(alike, "toarray") else alike, np.float64)
    kernel = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    hat = np.linalg.solve(kernel + _RIDGE * np.eye(len(kernel)), kernel).T
    found = []
    for fold in range(_FOLDS):
        held = folds == fold
        others = hat[held] * ~held
        found.append(np.linalg.solve(np.eye(int(held.sum())) - hat[np.ix_(held, held)], others))
    return found


def _aucs(matrices: Sequence[Floats], folds: NDArray[np.int64], sides: Floats) -> Floats:
    """(P,) how often a new row scores higher than one of the run's in its fold, for each column of (N, P) sides."""
    from scipy.stats import rankdata

    wins, pairs = np.zeros(sides.shape[1]), np.zeros(sides.shape[1])
    for fold, matrix in enumerate(matrices):
        is_new = sides[folds == fold]
        new = is_new.sum(axis=0)
        ranks = rankdata(np.round(matrix @ (sides - sides.mean(axis=0)), 9), axis=0)
        wins += (ranks * is_new).sum(axis=0) - new * (new + 1) / 2
        pairs += new * (len(is_new) - new)
    return wins / np.maximum(pairs, 1)


def by_error(error: float, *, sides: int) -> Power:
    """What a test of a normal value with this standard error sees."""
    return lambda level: (_NORMAL.inv_cdf(1 - level / sides) + _NORMAL.inv_cdf(_POWER)) * error


def distances(reference: Any, new: Any) -> tuple[Floats, Floats]:
    """How far new rows are from the nearest few of the run's, and each of those from the others."""
    count = min(_NEIGHBORS, reference.shape[0] - 1)
    found: list[Floats] = []
    for rows, is_own in ((new, False), (reference, True)):
        parts = []
        for start in range(0, rows.shape[0], _AT_ONCE):
            alike = rows[start : start + _AT_ONCE] @ reference.T
            alike = alike.toarray() if hasattr(alike, "toarray") else alike
            if is_own:
                alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
            parts.append(1 - np.partition(alike, -count, axis=1)[:, -count:].mean(axis=1))
        found.append(np.concatenate(parts))
    return found[0], found[1]


def counted(title: str, aspect: DriftAspect, before: Counts, now: Counts, *, worse: bool) -> Found:
    """Whether a share of rows differs, or has grown where only that is `worse`."""
    from scipy.stats import fisher_exact

    table = [[now[0], now[1] - now[0]], [before[0], before[1] - before[0]]]
    tested: Any = fisher_exact(table, alternative="greater" if worse else "two-sided")
    return Found(
        name=title,
        aspect=aspect,
        method=f"Fisher's exact test, {'one-sided' if worse else 'two-sided'}",
        rows=(before[1], now[1]),
        value=now[0] / now[1] - before[0] / before[1],
        unit="change of the share",
        p=float(tested[1]),
        power=lambda level: _change_seen(level if worse else level / 2, before, now[1]),
        detail=f"{before[0]:,} of {before[1]:,} of the run's, {now[0]:,} of {now[1]:,} now",
    )


def _change_seen(level: float, before: Counts, rows: int) -> float:
    """By how much a share has to change in so many rows, with the continuity correction that Fisher's test comes to."""
    from scipy.optimize import brentq

    share = (before[0] + 1) / (before[1] + 2)  # a share that nobody saw isn't zero
    share, each = min(share, 1 - share), (1 / before[1], 1 / rows)

    def beyond(change: float) -> float:
        now = share + change
        both = (before[1] * share + rows * now) / (before[1] + rows)
        alike = math.sqrt(both * (1 - both) * sum(each))
        apart = math.sqrt(share * (1 - share) * each[0] + now * max(0.0, 1 - now) * each[1])
        return change - sum(each) / 2 - _NORMAL.inv_cdf(1 - level) * alike - _NORMAL.inv_cdf(_POWER) * apart

    most = 1 - share
    if beyond(most) < 0:
        return most
    found: Any = brentq(beyond, 0, most)
    return float(found)


def distributed(title: str, aspect: DriftAspect, before: Sequence[float], now: Sequence[float], unit: str) -> Found:
    """Whether numbers are distributed alike."""
    from scipy.stats import ks_2samp, kstwobign

    found: Any = ks_2samp(before, now)
    both = math.sqrt(1 / len(before) + 1 / len(now))
    median = [f"{np.median(side):.4g}" for side in (before, now)]
    return Found(
        name=title,
        aspect=aspect,
        method="Kolmogorov-Smirnov test",
        rows=(len(before), len(now)),
        value=float(found.statistic),
        unit="largest gap of both distributions",
        p=float(found.pvalue),
        # Where the true gap is as large, the share below that place has at most this error.
        power=lambda level: min(1.0, (float(kstwobign.isf(level)) + _NORMAL.inv_cdf(_POWER) / 2) * both),
        detail=f"median {median[0]}{f' {unit}' if unit else ''} of the run's, {median[1]} now",
    )


def named(title: str, before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> Found:
    """Whether answers have the same names as often, by permutations: rare ones have too few rows for a formula.

    Measured is the sum over names of the squared change of their share by its variance, which for one name a row is
    Pearson's chi-square but for a factor.
    """
    sets = [tuple(sorted(set(row))) for row in (*before, *now)]
    kinds, n, m = sorted(set(sets)), len(before), len(now)
    names = sorted({name for kind in kinds for name in kind})
    has = np.array([[name in kind for name in names] for kind in kinds], np.float64)
    index = {kind: number for number, kind in enumerate(kinds)}
    codes = np.array([index[one] for one in sets])
    counts = np.bincount(codes, minlength=len(kinds))
    share = counts @ has / (n + m)
    spread = np.maximum(share * (1 - share), 1e-12) * (1 / n + 1 / m)

    def apart(drawn: NDArray[Any]) -> Floats:
        new = drawn @ has
        change = new / m - (counts @ has - new) / n
        return np.asarray((change**2 / spread).sum(axis=-1), np.float64)

    seen = apart(np.bincount(codes[n:], minlength=len(kinds)))
    generator, as_far = np.random.default_rng(0), 1
    for done in range(0, _PERMUTATIONS, _AT_ONCE):
        drawn = generator.multivariate_hypergeometric(counts, m, size=min(_AT_ONCE, _PERMUTATIONS - done))
        as_far += int((apart(drawn) >= seen - 1e-9).sum())
    p = as_far / (1 + _PERMUTATIONS)
    old, new = (Counter(name for row in side for name in set(row)) for side in (before, now))
    most = max(names, key=lambda name: abs(new[name] / m - old[name] / n))
    return Found(
        name=title,
        aspect="answers",
        method="chi-square by permutations",
        rows=(n, m),
        value=new[most] / m - old[most] / n,
        unit="largest change of a share",
        p=p,
        power=lambda level: _share_seen(level, float((share * (1 - share)).max()), len(names), n, m),
        detail=f"most: {most}, {old[most] / n:.1%} of the run's, {new[most] / m:.1%} now",
    )


def _share_seen(level: float, variance: float, names: int, n: int, m: int) -> float:
    """By how much the share with this variance has to change, by a chi-square test with as many names."""
    from scipy.optimize import brentq
    from scipy.stats import chi2, ncx2

    freedom = max(1, names - 1)
    limit = float(chi2.isf(level, freedom))
    needed: Any = brentq(lambda far: ncx2.sf(limit, freedom, far) - _POWER, 1e-6, 1e4)
    return min(1.0, math.sqrt(float(needed) * variance * (1 / n + 1 / m)))
