"""Metrics as a run computes them, from plain values; oracles with the same arguments stand in `metric_oracles`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics import Pairs, Ranked, loss_statistics, statistics_of
from ftc.runtime.metrics.classes import Decisions, Tags
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.statistics import Statistics
from ftc.runtime.metrics.texts import Found, Written
from ftc.spec.documents.companion_settings import WordnetSettings

Label = int | str


def class_statistics(
    name: str, expected: Sequence[Label], predicted: Sequence[Label], label: Label | None = None
) -> Statistics:
    """Rows with one class each, by name or number."""
    part = name if label is None else f"{name} of {label}"
    wanted, got = ([str(one) for one in side] for side in (expected, predicted))
    if any(isinstance(one, str) for one in expected):
        return statistics_of(part, Decisions.named((), wanted, got))
    names = [str(number) for number in range(1 + max(map(int, (*wanted, *got))))]
    return statistics_of(part, Decisions.single(names, list(map(int, wanted)), list(map(int, got))))


def calibration_statistics(right: Sequence[bool], confidence: Sequence[float]) -> Statistics:
    """Rows of class 1, with what says so and how surely."""
    said = Decisions.single(("0", "1"), np.ones(len(right)), np.array(right, int), np.array(confidence))
    return statistics_of("calibration_error", said)


def label_statistics(
    name: str, expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], labels: Sequence[str]
) -> Statistics:
    """Rows with any number of labels."""
    return statistics_of(name, Decisions.several(labels, expected, predicted))


def tag_statistics(
    name: str, expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], label: str | None = None
) -> Statistics:
    """Rows of tagged words; a `label` is a type of entity for `entity_f1`, a tag for `f1`."""
    names = tuple(sorted({tag for side in (expected, predicted) for row in side for tag in row}))
    wanted, got = ([[names.index(tag) for tag in row] for row in side] for side in (expected, predicted))
    part = name if label is None else f"{name.removeprefix('entity_')} of {label}"
    return statistics_of(part, Tags(names, wanted, got))


def answer_statistics(
    name: str, expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None = None
) -> Statistics:
    """Written answers."""
    return statistics_of(name, Written(expected, answers, wordnet))


def found_statistics(name: str, right: Sequence[Sequence[str]], answers: Sequence[str]) -> Statistics:
    """Answers of which several may be right."""
    return statistics_of(name, Found(right, answers))


def pair_statistics(name: str, predicted: Sequence[Sequence[float]]) -> Statistics:
    """Log-probabilities of the chosen and the rejected answer, and the margin of their rewards."""
    return statistics_of(name, Pairs(np.array(predicted, np.float64)))


def number_metric(name: str, expected: Sequence[Sequence[float]], predicted: Sequence[Sequence[float]]) -> float:
    """The value of a metric of numbers."""
    return statistics_of(name, Numbers(np.array(expected, np.float64), np.array(predicted, np.float64))).observed


def class_metric(name: str, expected: Sequence[Label], predicted: Sequence[Label], label: Label | None = None) -> float:
    """The value of `class_statistics`."""
    return class_statistics(name, expected, predicted, label).observed


def calibration_error(right: Sequence[bool], confidence: Sequence[float]) -> float:
    """The value of `calibration_statistics`."""
    return calibration_statistics(right, confidence).observed


def multi_label_metric(
    name: str,
    expected: Sequence[Sequence[int]],
    predicted: Sequence[Sequence[int]],
    num_labels: int,
    label: int | None = None,
) -> float:
    """The value of `label_statistics`."""
    part = name if label is None else f"{name} of {label}"
    return label_statistics(part, expected, predicted, [str(number) for number in range(num_labels)]).observed


def tag_metric(
    name: str, expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], label: str | None = None
) -> float:
    """The value of `tag_statistics`."""
    return tag_statistics(name, expected, predicted, label).observed


def answer_metric(
    name: str, expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None = None
) -> float:
    """The value of `answer_statistics`."""
    return answer_statistics(name, expected, answers, wordnet).observed


def found_scores(name: str, right: Sequence[Sequence[str]], answers: Sequence[str]) -> list[float]:
    """Each answer's score."""
    scores: list[float] = found_statistics(name, right, answers).rows[:, 0].tolist()
    return scores


def preference_scores(name: str, predicted: Sequence[Sequence[float]]) -> list[float]:
    """Each pair's score."""
    scores: list[float] = pair_statistics(name, predicted).rows[:, 0].tolist()
    return scores


def ranked_scores(name: str, ranks: Sequence[int]) -> list[float]:
    """Each query's score."""
    scores: list[float] = statistics_of(name, Ranked(np.array(ranks, np.float64))).rows[:, 0].tolist()
    return scores


def loss_metrics(scores: Sequence[RowScore]) -> dict[str, Any]:
    """`loss` and `perplexity` of some rows."""
    return {name: loss_statistics(name, scores).observed for name in ("loss", "perplexity")}
