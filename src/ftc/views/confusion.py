"""What a classifier mistakes for what: counts of expected against chosen, and precision, recall and F1 by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["ClassScore", "Confusion", "confusion", "label_scores"]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class is recognised. A ratio of nothing is 0, as scikit-learn has it with `zero_division=0`."""

    precision: float
    """Share of what was given this class that has it."""
    recall: float
    """Share of what has this class that was given it."""
    f1: float
    """The harmonic mean of the two."""
    support: int
    """Rows, or words, that have this class."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of rows by the class that they have and the class that they were given."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Lines by the expected class, columns by the chosen one, both in the order of the labels."""

    def scores(self) -> tuple[ClassScore, ...]:
        """The score of each class, in the order of the labels."""
        chosen = [sum(line[place] for line in self.counts) for place in range(len(self.labels))]
        return tuple(_score(line[place], chosen[place], sum(line)) for place, line in enumerate(self.counts))

    def mistakes(self) -> list[tuple[int, str, str]]:
        """Rows, expected and chosen class of every sort of mistake that was made, the most frequent first."""
        found = [
            (count, expected, chosen)
            for expected, line in zip(self.labels, self.counts, strict=True)
            for chosen, count in zip(self.labels, line, strict=True)
            if count and expected != chosen
        ]
        return sorted(found, key=lambda one: (-one[0], one[1], one[2]))


def confusion(labels: Sequence[str], pairs: Iterable[tuple[str, str]]) -> Confusion:
    """Counts pairs of an expected and a chosen class."""
    counted = Counter(pairs)
    return Confusion(tuple(labels), tuple(tuple(counted[row, column] for column in labels) for row in labels))


def label_scores(size: int, pairs: Iterable[tuple[Collection[int], Collection[int]]]) -> tuple[ClassScore, ...]:
    """The score of each of `size` labels where a row has several or none, from numbers of right and chosen ones."""
    expected, chosen, right = Counter[int](), Counter[int](), Counter[int]()
    for has, given in pairs:
        expected.update(set(has))
        chosen.update(set(given))
        right.update(set(has) & set(given))
    return tuple(_score(right[label], chosen[label], expected[label]) for label in range(size))


def _score(right: int, chosen: int, expected: int) -> ClassScore:
    return ClassScore(
        precision=right / chosen if chosen else 0.0,
        recall=right / expected if expected else 0.0,
        f1=2 * right / (chosen + expected) if chosen + expected else 0.0,
        support=expected,
    )
