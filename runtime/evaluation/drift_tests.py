"""Statistical tests of whether new rows are like a run's own, each with the difference that it could have seen.

Every test asks one question, and Holm's correction holds over all of them, so that a report on rows without any drift
says `drift` no more often than its level. `benchmarks/drift.py` measures how often each test does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.two_samples import (
    Counts,
    Found,
    by_error,
    classifier_test,
    counted,
    distances,
    distributed,
    named,
    tfidf_weights,
)
from ftc.spec.documents.data_drift import DriftTest, MetricDrift

__all__ = ["FEWEST_ROWS", "LARGEST_UNSEEN", "Compared", "Sample", "compared", "damage_tests", "metric_tests", "settled"]

Floats = NDArray[np.float64]

FEWEST_ROWS = 10
"""Rows on each side that tests of inputs and answers take at least."""
LARGEST_UNSEEN = 0.75
"""A report that can miss a shift by which a classifier tells new rows apart with a higher AUC has too few rows."""

_FAR = 0.95
"""Share of all rows that are nearer to the run's than those that count as far."""
_NORMAL = NormalDist()
_METRIC_Z = 1.96


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one side, and what the model answers.

    Attributes:
        tokens: What the model is given of each row; None of rows that only what was made of them is kept of.
        lengths: How many tokens these are.
        keys: What is equal of rows with the same tokens.
        states: (N, H) the mean of the model's last states over them, of length 1; None where that is not known.
        names: By title, the names that each row's answer has: its class, its classes, or types of entities.
        numbers: By title, a number of each row's answer.
        flags: By title, whether something is true of each row's answer.
        vectors: (N, D) each row's vector; None where the model gives none.
        damaged: By title, rows that can't be used as they are.
    """

    tokens: Sequence[Sequence[int]] | None
    lengths: Sequence[int]
    keys: Sequence[int]
    states: Floats | None = None
    names: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    numbers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    flags: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    vectors: Floats | None = None
    damaged: Mapping[str, Counts] = field(default_factory=dict)

    @classmethod
    def of(cls, tokens: Sequence[Sequence[int]], **figures: Any) -> Sample:
        """Rows whose tokens are known; `figures` are further fields."""
        digests = (hashlib.sha256(np.asarray(row, "<i4").tobytes()).digest() for row in tokens)
        keys = [int.from_bytes(one[:8], "little", signed=True) for one in digests]
        return cls(tokens, [len(row) for row in tokens], keys, **figures)

    def kept(self, rows: Sequence[int]) -> Sample:
        """Some of the rows; what is damaged stays, since it was counted over all."""
        return replace(
            self,
            tokens=None if self.tokens is None else [self.tokens[row] for row in rows],
            lengths=[self.lengths[row] for row in rows],
            keys=[self.keys[row] for row in rows],
            states=None if self.states is None else self.states[list(rows)],
            names={title: [values[row] for row in rows] for title, values in self.names.items()},
            numbers={title: [values[row] for row in rows] for title, values in self.numbers.items()},
            flags={title: [values[row] for row in rows] for title, values in self.flags.items()},
            vectors=None if self.vectors is None else self.vectors[list(rows)],
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """What two samples gave.

    Attributes:
        tests: All tests that they allow.
        distances: How far each new row is from the run's, and each of those from the others.
        kept: Numbers of the new rows that were compared: all, or the distinct ones.
    """

    tests: list[Found]
    distances: tuple[Floats, Floats]
    kept: Sequence[int]


def compared(reference: Sample, new: Sample, level: float) -> Compared:
    """All tests that two samples of at least `FEWEST_ROWS` allow.

    Rows that repeat others word for word are draws like any other where the run's rows do so too. Where the new rows
    do it more often, a test says that, and each counts once in all others, which would take copies for evidence.
    """
    copies = _repeated(reference.keys, new.keys)
    kept: Sequence[int] = range(len(new.keys))
    if copies.p <= level and len(distinct := _distinct(new.keys)) >= FEWEST_ROWS:
        kept, new = distinct, new.kept(distinct)
    first, keys = len(reference.keys), (*reference.keys, *new.keys)
    seen: dict[str, Any] = {}  # what the model reads, and what it makes of that
    if reference.tokens is not None and new.tokens is not None:
        seen["inputs"] = tfidf_weights(reference.tokens, new.tokens)
    if (states := _centered(reference.states, new.states)) is not None:
        seen["states"] = states
    vectors = _centered(reference.vectors, new.vectors)
    near = next(one for one in (*seen.values(), vectors) if one is not None)
    apart = distances(near[:first], near[first:])
    limit = np.quantile(np.concatenate(apart), _FAR, method="higher")
    far = [(int((side >= limit).sum()), len(side)) for side in apart]
    inputs = [
        *(classifier_test(title, "inputs", one, first, keys) for title, one in seen.items()),
        counted("novel rows", "inputs", far[1], far[0], worse=True),
        distributed("length", "inputs", reference.lengths, new.lengths, "tokens"),
        copies,
    ]
    answers = [] if vectors is None else [classifier_test("vectors", "answers", vectors, first, keys)]
    return Compared([*inputs, *_answers(reference, new), *answers], apart, kept)


def damage_tests(reference: Sample, new: Sample) -> list[Found]:
    """Whether more of the new rows can't be used as they are, for each kind of damage that some row has."""
    return [
        counted(title, "damage", before, now, worse=True)
        for title, before in reference.damaged.items()
        if (now := new.damaged[title])[1] and before[1] and before[0] + now[0]
    ]


def _answers(reference: Sample, new: Sample) -> Iterator[Found]:
    for title, names in reference.names.items():
        if title in new.names and len({one for row in (*names, *new.names[title]) for one in row}) > 1:
            yield named(title, names, new.names[title])
    for title, numbers in reference.numbers.items():
        before, now = ([one for one in side if math.isfinite(one)] for side in (numbers, new.numbers.get(title, ())))
        if before and now:
            yield distributed(title, "answers", before, now, "")
    for title, flags in reference.flags.items():
        if (said := new.flags.get(title)) and any((*flags, *said)):
            yield counted(title, "answers", (sum(flags), len(flags)), (sum(said), len(said)), worse=False)


def _centered(reference: Floats | None, new: Floats | None) -> Floats | None:
    """Vectors of both sides from their common middle, of length 1; None where a side has none."""
    if reference is None or new is None:
        return None
    both = np.concatenate([reference, new])
    centered = both - both.mean(axis=0)
    return np.asarray(centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12), np.float64)


def metric_tests(metrics: Mapping[str, MetricDrift], test_rows: int) -> Iterator[Found]:
    """Whether metrics differ from those of the run's test rows, by both intervals (Zou & Donner 2008).

    Of each interval the half counts that faces the other value, since that of a share near 0 or 1 is lopsided.
    """
    for name, one in metrics.items():
        if one.interval is None or one.test_interval is None or one.test_value is None:
            continue
        change = one.value - one.test_value
        lower, upper = (one.value, one.interval), (one.test_value, one.test_interval)
        if change < 0:
            lower, upper = upper, lower
        width = math.hypot(lower[0] - lower[1].low, upper[1].high - upper[0])
        if width <= 0:
            continue
        error = width / _METRIC_Z
        yield Found(
            name=name,
            aspect="metrics",
            method="interval of the difference, by Zou & Donner",
            rows=(test_rows, one.rows),
            value=change,
            unit="change",
            p=2 * _NORMAL.cdf(-abs(change) / error),
            power=by_error(error, sides=2),
            detail=f"{one.test_value:.3f} on test rows, {one.value:.3f} now",
        )


def settled(tests: Sequence[Found], level: float) -> tuple[DriftTest, ...]:
    """The tests with Holm's p values, and what each could have seen at Holm's lowest significance level."""
    order = sorted(range(len(tests)), key=lambda one: tests[one].p)
    adjusted, highest = [0.0] * len(tests), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(tests) - rank) * tests[index].p))
        adjusted[index] = highest
    return tuple(
        DriftTest(
            name=one.name,
            aspect=one.aspect,
            method=one.method,
            reference_rows=one.rows[0],
            new_rows=one.rows[1],
            value=one.value,
            unit=one.unit,
            minimum_detectable=one.power(level / len(tests)),
            p=one.p,
            adjusted_p=p,
            drifted=p <= level,
            detail=one.detail,
        )
        for one, p in zip(tests, adjusted, strict=True)
    )


def _distinct(keys: Sequence[int]) -> list[int]:
    """Number of the first row of each kind."""
    first: dict[int, int] = {}
    for number, key in enumerate(keys):
        first.setdefault(key, number)
    return sorted(first.values())


def _repeated(reference: Sequence[int], new: Sequence[int]) -> Found:
    """Whether more of the new rows repeat another one, among as many of each side: more rows have more copies."""
    size = min(len(reference), len(new))
    generator = np.random.default_rng(0)
    counts: list[Counts] = []
    for rows in (reference, new):
        drawn = [rows[int(row)] for row in generator.choice(len(rows), size, replace=False)]
        counts.append((size - len(_distinct(drawn)), size))
    return counted("repeated rows", "inputs", counts[0], counts[1], worse=True)
