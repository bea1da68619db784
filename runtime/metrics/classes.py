"""Metrics of classes: of rows with one class or several, and of words with a tag each.

Values are those of scikit-learn, and for entities those of seqeval, which the tests hold them against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ftc.runtime.metrics.statistics import Floats, Statistics
from ftc.spec.documents.outcomes import CONFIDENCE_BINS, OTHER_LABEL, confidence_bin
from ftc.spec.tags import has_entities

__all__ = ["CLASSES", "ENTITIES", "Decisions", "Tags", "decision_statistics", "first_errors", "tag_statistics"]


class Counts(NamedTuple):
    """Sums over rows, of each class; C classes."""

    exact: Floats
    """(...) decisions that are right."""
    decisions: Floats
    """(...) decisions: rows, or words."""
    right: Floats
    """(..., C) decisions for a class that are right."""
    predicted: Floats
    """(..., C) decisions for a class."""
    expected: Floats
    """(..., C) decisions that should be for a class."""
    is_multi_label: bool
    """Whether a class counts in a mean even where it occurs nowhere, as scikit-learn has it."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What rows should be and what a model takes them for.

    Attributes:
        names: The classes.
        rows: (N, 2 + 3C) what each row adds to `Counts`, in their order.
        is_multi_label: Whether a row has any number of classes.
        confidence: (N,) probability of the class that was chosen; None where there is none.
    """

    names: tuple[str, ...]
    rows: Floats
    is_multi_label: bool
    confidence: Floats | None

    @classmethod
    def single(
        cls, names: Sequence[str], expected: ArrayLike, predicted: ArrayLike, confidence: Floats | None = None
    ) -> Decisions:
        """Rows with one class each, by number."""
        wanted, got = np.array(expected, np.int64), np.array(predicted, np.int64)
        count, width = len(wanted), len(names)
        numbers = np.arange(count)
        is_right = wanted == got
        rows = np.zeros((count, 2 + 3 * width))
        rows[:, 0], rows[:, 1] = is_right, 1
        rows[numbers[is_right], 2 + wanted[is_right]] = 1
        rows[numbers, 2 + width + got] = 1
        rows[numbers, 2 + 2 * width + wanted] = 1
        return cls(tuple(names), rows, False, confidence)

    @classmethod
    def named(
        cls,
        labels: Iterable[str],
        expected: Sequence[str],
        predicted: Sequence[str],
        confidence: Floats | None = None,
    ) -> Decisions:
        """Rows with one class each, by name. What is none of the labels is a class of its own."""
        names = sorted({*labels, OTHER_LABEL, *expected, *predicted})
        number = {name: place for place, name in enumerate(names)}
        wanted, got = ([number[name] for name in side] for side in (expected, predicted))
        return cls.single(names, wanted, got, confidence)

    @classmethod
    def several(
        cls, names: Sequence[str], expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]]
    ) -> Decisions:
        """Rows with any number of classes each; a row is right where it has exactly the right ones."""
        wanted, got = (_grid(side, len(names)) for side in (expected, predicted))
        exact = (wanted == got).all(axis=1, keepdims=True)
        rows = np.hstack((exact, np.ones_like(exact), wanted & got, got, wanted)).astype(np.float64)
        return cls(tuple(names), rows, True, None)

    def counts(self, sums: Floats) -> Counts:
        """Sums of rows by what they are."""
        right, predicted, expected = np.split(sums[..., 2:], 3, axis=-1)
        return Counts(sums[..., 0], sums[..., 1], right, predicted, expected, self.is_multi_label)


def _grid(rows: Sequence[Sequence[int]], width: int) -> NDArray[np.bool_]:
    """(N, C) which classes each row has."""
    found = np.zeros((len(rows), width), dtype=bool)
    for line, numbers in enumerate(rows):
        found[line, list(numbers)] = True
    return found


@dataclass(frozen=True, slots=True)
class Tags:
    """Rows of words with a tag each, by number.

    Attributes:
        names: The tags.
        expected: What each row's words should be.
        predicted: What a model takes them for.
    """

    names: tuple[str, ...]
    expected: Sequence[Sequence[int]]
    predicted: Sequence[Sequence[int]]

    def words(self) -> Decisions:
        """Each word a decision; the words of a row are drawn together."""
        wanted, got = ([tag for row in side for tag in row] for side in (self.expected, self.predicted))
        words = Decisions.single(self.names, wanted, got)
        begins = np.cumsum([0, *map(len, self.expected)])[:-1]
        return Decisions(self.names, np.add.reduceat(words.rows, begins, axis=0), False, None)

    def entities(self, kind: str | None) -> Floats:
        """(N, 3) right, predicted and expected entities of each row: all, or those of one type."""
        wanted, got = (
            [_entities((self.names[tag] for tag in row), kind) for row in side]
            for side in (self.expected, self.predicted)
        )
        counts = [(len(one & other), len(other), len(one)) for one, other in zip(wanted, got, strict=True)]
        return np.array(counts, dtype=np.float64)


def _entities(tags: Iterable[str], kind: str | None) -> set[tuple[str, int, int]]:
    """Type, first and last word of each entity, as seqeval reads tags."""
    from seqeval.metrics.sequence_labeling import get_entities

    return {one for one in get_entities(list(tags)) if kind in (None, one[0])}


def _precision(right: Floats, predicted: Floats, _expected: Floats) -> Floats:
    return np.asarray(right / np.maximum(1.0, predicted))


def _recall(right: Floats, _predicted: Floats, expected: Floats) -> Floats:
    return np.asarray(right / np.maximum(1.0, expected))


def _f1(right: Floats, predicted: Floats, expected: Floats) -> Floats:
    return 2 * right / np.maximum(1.0, predicted + expected)


def _entity_f1(right: Floats, predicted: Floats, expected: Floats) -> Floats:
    """The same in the order in which seqeval rounds."""
    precision, recall = _precision(right, predicted, expected), _recall(right, predicted, expected)
    whole = precision + recall
    return 2 * precision * recall / np.where(whole == 0, 1, whole)


Part = Callable[[Floats, Floats, Floats], Floats]
"""A score from right, predicted and expected ones; of nothing it is 0."""
_PARTS: dict[str, Part] = {"precision": _precision, "recall": _recall, "f1": _f1}
ENTITIES: dict[str, Part] = {"precision": _precision, "recall": _recall, "f1": _entity_f1}
"""Metrics of entities, without `entity_` before their names."""


def _mean_of(scores: Floats, is_counted: NDArray[np.bool_]) -> Floats:
    """(...) the mean of those of (..., C) scores that count, of a single row of scores summed as scikit-learn does."""
    if scores.ndim == 1:
        return np.asarray(scores[is_counted].mean() if is_counted.any() else 0.0)
    return np.asarray((scores * is_counted).sum(axis=-1) / np.maximum(1, is_counted.sum(axis=-1)))


def _macro(part: Part, found: Counts) -> Floats:
    """Over the classes that occur among predictions or expectations, of several labels over all."""
    is_counted = np.asarray((found.predicted + found.expected > 0) | found.is_multi_label)
    return _mean_of(part(found.right, found.predicted, found.expected), is_counted)


def _micro(part: Part, found: Counts) -> Floats:
    return part(*(one.sum(axis=-1) for one in (found.right, found.predicted, found.expected)))


def _weighted(part: Part, found: Counts) -> Floats:
    scores, weights = part(found.right, found.predicted, found.expected), found.expected
    if scores.ndim == 1 and not found.is_multi_label:
        occurs = found.predicted + found.expected > 0
        scores, weights = scores[occurs], weights[occurs]
    return np.asarray((scores * weights).sum(axis=-1) / np.maximum(1.0, weights.sum(axis=-1)))


_AVERAGES: dict[str, Callable[[Part, Counts], Floats]] = {"macro": _macro, "micro": _micro, "weighted": _weighted}


def _averaged(average: str, part: str) -> Callable[[Counts], Floats]:
    return lambda found: _AVERAGES[average](_PARTS[part], found)


def _matthews(found: Counts) -> Floats:
    """Gorodkin 2004, for any number of classes; 0 where one side has a single class."""
    count = found.decisions
    covered = found.exact * count - (found.predicted * found.expected).sum(axis=-1)
    spread = (count**2 - (found.predicted**2).sum(axis=-1)) * (count**2 - (found.expected**2).sum(axis=-1))
    return np.asarray(np.where(spread > 0, covered / np.sqrt(np.maximum(spread, 1e-300)), 0.0))


def _balanced_accuracy(found: Counts) -> Floats:
    """The mean recall of the classes that rows have, which no frequent class decides."""
    return _mean_of(_recall(found.right, found.predicted, found.expected), found.expected > 0)


def _kappa(found: Counts) -> Floats:
    """Cohen 1960: what agreement there is beyond chance; 0 where both sides are one and the same class."""
    disagreed = found.decisions - found.exact
    by_chance = found.decisions - (found.predicted * found.expected).sum(axis=-1) / found.decisions
    return np.asarray(np.where(by_chance > 0, 1 - disagreed / np.maximum(by_chance, 1e-300), 0.0))


CLASSES: dict[str, Callable[[Counts], Floats]] = {
    "accuracy": lambda found: np.asarray(found.exact / found.decisions),
    "mcc": _matthews,
    "balanced_accuracy": _balanced_accuracy,
    "cohen_kappa": _kappa,
    **{f"{average}_{part}": _averaged(average, part) for average in _AVERAGES for part in _PARTS},
}
"""Metrics of decisions."""


def first_errors(found: Tags) -> list[float]:
    """Of each row 1 where the first wrong step is found at its place, or where none is found of none, else 0.

    Tag 0 is a wrong step.
    """

    def place(steps: Sequence[int]) -> int | None:
        return next((number for number, tag in enumerate(steps) if tag == 0), None)

    return [float(place(wanted) == place(got)) for wanted, got in zip(found.expected, found.predicted, strict=True)]


def decision_statistics(name: str, label: str | None, found: Decisions) -> Statistics:
    """A metric of decisions; of one class where there is a label."""
    if label is not None:
        part, width = _PARTS[name], len(found.names)
        columns = [2 + at * width + found.names.index(label) for at in range(3)] if label in found.names else []
        rows = found.rows[:, columns] if columns else np.zeros((len(found.rows), 3))  # 0 where no row has the class
        return Statistics(rows, lambda sums: part(sums[..., 0], sums[..., 1], sums[..., 2]))
    if name == "calibration_error":
        return _calibration(found)
    compute = CLASSES[name]
    return Statistics(found.rows, lambda sums: compute(found.counts(sums)))


def _calibration(found: Decisions) -> Statistics:
    """How far confidence is from accuracy: the expected calibration error of Guo et al. 2017.

    Rows are grouped by the probability of the class that was chosen, in `CONFIDENCE_BINS` intervals of equal width,
    each without its lower end; a column each for how far it lies above the right ones, then one for the rows.
    """
    assert found.confidence is not None, "only a head's classes have a probability"
    rows = np.zeros((len(found.rows), CONFIDENCE_BINS + 1))
    for line, (is_right, share) in enumerate(zip(found.rows[:, 0], found.confidence, strict=True)):
        rows[line, confidence_bin(share)] = share - is_right
    rows[:, -1] = 1

    def value(sums: Floats) -> Floats:
        apart = np.abs(sums[..., :-1])
        whole = math.fsum(apart) if apart.ndim == 1 else apart.sum(axis=-1)
        return np.asarray(whole / sums[..., -1])

    return Statistics(rows, value)


def tag_statistics(name: str, label: str | None, found: Tags) -> Statistics:
    """A metric of tagged words: of entities, which are right if type, begin and end are, or of words."""
    is_entity = name.startswith("entity_") or (label is not None and has_entities(found.names))
    if not is_entity:
        return decision_statistics(name.removeprefix("step_"), label, found.words())
    compute = ENTITIES[name.removeprefix("entity_")]
    return Statistics(found.entities(label), lambda sums: compute(sums[..., 0], sums[..., 1], sums[..., 2]))
