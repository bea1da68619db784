"""Metrics taken apart into what each row adds, so that rows can be drawn again: see `ftc.runtime.metrics.bootstrap`.

The value that a user sees comes from the metric's own library (`ftc.runtime.metrics.metrics`); the sums here give the same
value for the rows as they are, and other values for other draws of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.bootstrap import Floats, Statistics
from ftc.runtime.metrics.metrics import CORPUS_METRICS, answer_scores
from ftc.spec.documents.outcomes import CONFIDENCE_BINS, confidence_bin
from ftc.spec.documents.settings import WordnetSettings
from ftc.spec.sections.evaluation import has_entities, split_metric

__all__ = [
    "answer_statistics",
    "calibration_statistics",
    "class_statistics",
    "entity_statistics",
    "label_statistics",
    "loss_statistics",
    "mean_of_groups",
    "mean_statistics",
    "score_statistics",
    "share_statistics",
    "tag_statistics",
    "word_statistics",
]

_SHARES = ("exact_match", "valid_json", "preference_accuracy")
"""Metrics of rows that score 1 or 0."""


def loss_statistics(name: str, sums: Sequence[tuple[float, int]]) -> Statistics:
    """`loss` or `perplexity`, from the nats and the number of targets of each row."""
    rows = np.array(sums, dtype=np.float64)
    return Statistics(rows, _ratio if name == "loss" else lambda sums: np.exp(_ratio(sums)))


def class_statistics(
    name: str,
    expected: Sequence[int | str],
    predicted: Sequence[int | str],
    label: int | str | None = None,
    classes: Sequence[int | str] = (),
) -> Statistics:
    """A metric of a classification: a column for right answers, then three a class: right, predicted, expected.

    Args:
        name: The metric, without its class.
        expected: Class of each row.
        predicted: What a model says.
        label: The one class that it is a metric of; None for all.
        classes: Those that have columns whether or not they occur, so that two models' rows can be held beside each
            other.
    """
    if label is not None:
        return _one_class(
            name, [(one == label, other == label) for one, other in zip(expected, predicted, strict=True)]
        )
    count = len(expected)
    known, places = np.unique(np.array([*expected, *predicted, *classes]), return_inverse=True)
    wanted, got, width = places[:count], places[count : 2 * count], len(known)
    rows = np.zeros((count, 1 + 3 * width))
    numbers = np.arange(count)
    is_right = wanted == got
    rows[:, 0] = is_right
    rows[numbers[is_right], 1 + wanted[is_right]] = 1
    rows[numbers, 1 + width + got] = 1
    rows[numbers, 1 + 2 * width + wanted] = 1
    match name.split("_"):
        case ["accuracy"]:
            return Statistics(rows, lambda sums: sums[..., 0] / _thirds(sums)[2].sum(axis=-1), shares=rows[:, :1])
        case ["mcc"]:
            return Statistics(rows, lambda sums: _matthews(sums[..., 0], *_thirds(sums)[1:]))
        case ["macro", part]:
            return Statistics(rows, lambda sums: _mean_of_seen(_PARTS[part], *_thirds(sums)))
        case [average, part]:
            return Statistics(rows, lambda sums: _AVERAGES[average](_PARTS[part], *_thirds(sums)))
    raise KeyError(name)


def calibration_statistics(right: Sequence[bool], confidence: Sequence[float]) -> Statistics:
    """The expected calibration error: by interval of confidence how far it lies above the right ones, then a one."""
    rows = np.zeros((len(right), CONFIDENCE_BINS + 1))
    for line, (is_right, share) in enumerate(zip(right, confidence, strict=True)):
        rows[line, confidence_bin(share)] = share - is_right
    rows[:, -1] = 1
    return Statistics(rows, lambda sums: np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


def _one_class(name: str, pairs: Sequence[tuple[bool, bool]]) -> Statistics:
    """A score of one class, from whether each row was expected and predicted to have it."""
    rows = np.array([(wanted and got, got, wanted) for wanted, got in pairs], dtype=np.float64).reshape(-1, 3)
    return Statistics(rows, lambda sums: _PARTS[name](sums[..., 0], sums[..., 1], sums[..., 2]))


def label_statistics(
    name: str,
    expected: Sequence[Sequence[int]],
    predicted: Sequence[Sequence[int]],
    labels: Sequence[str],
) -> Statistics:
    """A metric of rows that have any number of the labels: one for a row that is right, then three a label."""
    part, label = split_metric(name)
    if label is not None:
        number = labels.index(label)
        pairs = [(number in one, number in other) for one, other in zip(expected, predicted, strict=True)]
        return _one_class(part, pairs)
    width = len(labels)
    rows = np.zeros((len(expected), 1 + 3 * width))
    for line, (wanted, got) in enumerate(zip(expected, predicted, strict=True)):
        rows[line, 0] = set(wanted) == set(got)
        rows[line, [1 + number for number in {*wanted} & {*got}]] = 1
        rows[line, [1 + width + number for number in got]] = 1
        rows[line, [1 + 2 * width + number for number in wanted]] = 1
    rows = np.hstack((rows, np.ones((len(expected), 1))))
    if name == "accuracy":
        return Statistics(rows, lambda sums: sums[..., 0] / sums[..., -1], shares=rows[:, :1])
    average, part = name.split("_")
    return Statistics(rows, lambda sums: _AVERAGES[average](_PARTS[part], *_thirds(sums[..., :-1])))


def entity_statistics(
    name: str, expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], label: str | None = None
) -> Statistics:
    """A metric of entities, all or those of one type: right, predicted and expected ones of each row."""
    from seqeval.metrics.sequence_labeling import get_entities

    wanted, got = (
        [{one for one in get_entities(list(row)) if label is None or one[0] == label} for row in side]
        for side in (expected, predicted)
    )
    counts = [(len(a & b), len(b), len(a)) for a, b in zip(wanted, got, strict=True)]
    rows = np.array(counts, dtype=np.float64)
    compute = _PARTS[name.removeprefix("entity_")]
    return Statistics(rows, lambda sums: compute(sums[..., 0], sums[..., 1], sums[..., 2]))


def tag_statistics(
    name: str, expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], labels: Sequence[str]
) -> Statistics:
    """A metric of words that are tagged, by numbers of tags: of entities, where tags are those, or of tags as such."""
    part, label = split_metric(name)
    if part.startswith("entity") or (label is not None and has_entities(labels)):
        wanted, got = ([[labels[tag] for tag in row] for row in side] for side in (expected, predicted))
        return entity_statistics(f"entity_{part.removeprefix('entity_')}", wanted, got, label)
    return word_statistics(
        part, expected, predicted, None if label is None else labels.index(label), range(len(labels))
    )


def word_statistics(
    name: str,
    expected: Sequence[Sequence[int | str]],
    predicted: Sequence[Sequence[int | str]],
    label: int | None = None,
    classes: Sequence[int] = (),
) -> Statistics:
    """A metric of words as if each were a row, with the words of a row drawn together."""
    wanted, got = ([tag for row in side for tag in row] for side in (expected, predicted))
    words = class_statistics(name, wanted, got, label, classes)
    ends = np.cumsum([0, *map(len, expected)])
    rows = np.add.reduceat(words.rows, ends[:-1], axis=0)
    return Statistics(rows, words.value)


def mean_statistics(scores: Sequence[float]) -> Statistics:
    """The mean of one score a row."""
    values = np.array(scores, dtype=np.float64)
    return Statistics(np.stack((values, np.ones_like(values)), axis=1), _ratio)


def score_statistics(name: str, scores: Sequence[float]) -> Statistics:
    """A metric that is the mean of one score a row: of some, the share of rows that score."""
    return share_statistics(scores) if name in _SHARES else mean_statistics(scores)


def share_statistics(scores: Sequence[float]) -> Statistics:
    """The share of rows that score 1, where the others score 0."""
    found = mean_statistics(scores)
    return Statistics(found.rows, found.value, shares=found.rows[:, :1])


def mean_of_groups(scores: Sequence[float], groups: Sequence[int]) -> Statistics:
    """The mean of scores of which those of one group stand and fall together."""
    names, places = np.unique(np.array(groups), return_inverse=True)
    rows = np.zeros((len(names), 2))
    np.add.at(rows, places, mean_statistics(scores).rows)
    return Statistics(rows, _ratio)


def answer_statistics(
    name: str, expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None = None
) -> Statistics:
    """A metric of written answers: a mean of scores, or what sacrebleu counts of n-grams. METEOR needs its WordNet."""
    if name in CORPUS_METRICS:
        return _sacrebleu_statistics(name, expected, answers)
    return score_statistics(name, answer_scores(name, expected, answers, wordnet))


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _thirds(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """(..., C) right, predicted, expected of each class."""
    right, predicted, expected = np.split(sums[..., 1:], 3, axis=-1)
    return right, predicted, expected


def _f1(right: Floats, predicted: Floats, expected: Floats) -> Floats:
    return 2 * right / np.maximum(1.0, predicted + expected)


def _precision(right: Floats, predicted: Floats, _expected: Floats) -> Floats:
    return np.asarray(right / np.maximum(1.0, predicted))


def _recall(right: Floats, _predicted: Floats, expected: Floats) -> Floats:
    return np.asarray(right / np.maximum(1.0, expected))


Part = Callable[[Floats, Floats, Floats], Floats]
"""A score from right, predicted and expected ones."""
_PARTS: dict[str, Part] = {"f1": _f1, "precision": _precision, "recall": _recall}


def _macro(part: Part, right: Floats, predicted: Floats, expected: Floats) -> Floats:
    return np.asarray(part(right, predicted, expected).mean(axis=-1))


def _mean_of_seen(part: Part, right: Floats, predicted: Floats, expected: Floats) -> Floats:
    """Over the classes that occur, in the draw, among predictions or expectations."""
    occurs = (predicted + expected) > 0
    return np.asarray(part(right, predicted, expected).sum(axis=-1) / np.maximum(1, occurs.sum(axis=-1)))


def _micro(part: Part, right: Floats, predicted: Floats, expected: Floats) -> Floats:
    return part(right.sum(axis=-1), predicted.sum(axis=-1), expected.sum(axis=-1))


def _weighted(part: Part, right: Floats, predicted: Floats, expected: Floats) -> Floats:
    whole = np.maximum(1.0, expected.sum(axis=-1))
    return np.asarray((part(right, predicted, expected) * expected).sum(axis=-1) / whole)


_AVERAGES: dict[str, Callable[[Part, Floats, Floats, Floats], Floats]] = {
    "macro": _macro,
    "micro": _micro,
    "weighted": _weighted,
}


def _matthews(right: Floats, predicted: Floats, expected: Floats) -> Floats:
    """Gorodkin 2004, for any number of classes; 0 where one side has a single class."""
    count = expected.sum(axis=-1)
    covered = right * count - (predicted * expected).sum(axis=-1)
    spread = (count**2 - (predicted**2).sum(axis=-1)) * (count**2 - (expected**2).sum(axis=-1))
    return np.asarray(np.where(spread > 0, covered / np.sqrt(np.maximum(spread, 1e-300)), 0.0))


def _sacrebleu_statistics(name: str, expected: Sequence[str], answers: Sequence[str]) -> Statistics:
    from ftc.runtime.metrics.metrics import sacrebleu_metric

    metric: Any = sacrebleu_metric(name)
    # sacrebleu resamples by these two itself, and offers no public way to them.
    rows = np.array(metric._extract_corpus_statistics(list(answers), [list(expected)]), dtype=np.float64)

    def value(sums: Floats) -> Floats:
        found: NDArray[np.float64] = np.apply_along_axis(
            lambda one: metric._compute_score_from_stats(one.astype(int).tolist()).score,
            -1,
            sums,
        )
        return found

    return Statistics(rows, value)
