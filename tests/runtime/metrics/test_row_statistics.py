"""Metrics taken apart into rows: put together again they are what the library says, for any draw of the rows."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics import loss_statistics
from ftc.runtime.metrics.statistics import Statistics
from tests.support.metric_oracles import (
    answer_metric,
    calibration_error,
    class_metric,
    loss_metrics,
    multi_label_metric,
    tag_metric,
)
from tests.support.metric_values import (
    answer_statistics,
    calibration_statistics,
    class_statistics,
    label_statistics,
    tag_statistics,
)

WORDS = "the council approved a new plan for trams after long talks on tuesday night".split()


def drawn(statistics: Statistics, rows: list[int]) -> float:
    return float(statistics.value(statistics.rows[rows].sum(axis=0)))


def draws(count: int) -> list[list[int]]:
    chance = random.Random(4)
    return [list(range(count)), *([chance.randrange(count) for _ in range(count)] for _ in range(20)), [0, 0, 0]]


AVERAGED = [f"{average}_{part}" for average in ("macro", "micro", "weighted") for part in ("f1", "precision", "recall")]


@pytest.mark.parametrize("name", ["accuracy", "mcc", *AVERAGED, "f1", "precision", "recall"])
@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_classes(name: str, classes: int) -> None:
    chance = np.random.default_rng(classes)
    expected = chance.integers(classes, size=60).tolist()
    predicted = [label if chance.random() < 0.7 else int(chance.integers(classes)) for label in expected]
    label = None if "_" in name or name in ("accuracy", "mcc") else 1
    statistics = class_statistics(name, expected, predicted, label)
    for rows in draws(60):
        wanted = class_metric(name, [expected[row] for row in rows], [predicted[row] for row in rows], label)
        assert drawn(statistics, rows) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", *AVERAGED, "f1", "precision", "recall"])
def test_rows_of_several_classes(name: str) -> None:
    chance = random.Random(3)
    label = None if "_" in name or name == "accuracy" else 2
    expected, predicted = ([sorted(chance.sample(range(4), chance.randrange(4))) for _ in range(40)] for _ in range(2))
    statistics = label_statistics(name if label is None else f"{name} of c", expected, predicted, "abcd")
    for rows in draws(40):
        wanted = multi_label_metric(name, [expected[row] for row in rows], [predicted[row] for row in rows], 4, label)
        assert drawn(statistics, rows) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("label", [None, "PER"])
@pytest.mark.parametrize("name", ["entity_f1", "entity_precision", "entity_recall"])
def test_entities(name: str, label: str | None) -> None:
    chance = random.Random(8)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    expected, predicted = ([chance.choices(tags, k=9) for _ in range(30)] for _ in range(2))
    statistics = tag_statistics(name, expected, predicted, label)
    for rows in draws(30):
        wanted = tag_metric(name, [expected[row] for row in rows], [predicted[row] for row in rows], label)
        assert drawn(statistics, rows) == pytest.approx(wanted, abs=1e-12)


def test_calibration() -> None:
    chance = random.Random(5)
    confidence = [0.5 + chance.random() / 2 for _ in range(60)]
    right = [chance.random() < share for share in confidence]
    statistics = calibration_statistics(right, confidence)
    for rows in draws(60):
        wanted = calibration_error([right[row] for row in rows], [confidence[row] for row in rows])
        assert drawn(statistics, rows) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["exact_match", "valid_json", "rouge_l", "bleu", "chrf", "ter"])
def test_answers(name: str) -> None:
    chance = random.Random(9)
    expected = [" ".join(chance.sample(WORDS, 9)) for _ in range(25)]
    answers = [text if chance.random() < 0.3 else " ".join(chance.sample(text.split(), 7)) for text in expected]
    if name == "valid_json":
        expected, answers = ['{"a": 1}'] * 25, ['{"a": 2}' if chance.random() < 0.5 else "no" for _ in range(25)]
    statistics = answer_statistics(name, expected, answers)
    for rows in draws(25):
        wanted = answer_metric(name, [expected[row] for row in rows], [answers[row] for row in rows])
        assert drawn(statistics, rows) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("name", ["loss", "perplexity"])
def test_losses(name: str) -> None:
    chance = random.Random(2)
    scores = [RowScore(row, chance.random() * 20, chance.randrange(1, 30)) for row in range(40)]
    statistics = loss_statistics(name, scores)
    for rows in draws(40):
        assert drawn(statistics, rows) == pytest.approx(loss_metrics([scores[row] for row in rows])[name], rel=1e-12)


ODD: dict[str, tuple[list[int], list[int]]] = {
    "one row": ([1], [1]),
    "one row, wrong": ([0], [1]),
    "one class": ([2] * 9, [2] * 9),
    "one class expected": ([0] * 9, [0, 1, 2] * 3),
    "one class said": ([0, 1, 2] * 3, [0] * 9),
    "nothing right": ([0, 1, 2] * 3, [1, 2, 0] * 3),
    "no class in common": ([0, 1] * 4, [2, 3] * 4),
    "more classes than rows": (list(range(0, 60, 7)), list(range(0, 90, 10))),
    "a rare class": ([0] * 999 + [1], [0] * 1000),
}


@pytest.mark.parametrize(("expected", "predicted"), ODD.values(), ids=ODD)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_odd_rows_have_the_librarys_values_to_the_last_bit(expected: list[int], predicted: list[int]) -> None:
    for name in ("accuracy", "mcc", "balanced_accuracy", *AVERAGED):
        wanted = class_metric(name, expected, predicted)
        assert class_statistics(name, expected, predicted).observed == wanted, name
    wanted = class_metric("cohen_kappa", expected, predicted)
    found = class_statistics("cohen_kappa", expected, predicted).observed
    assert found == pytest.approx(0.0 if np.isnan(wanted) else wanted, abs=1e-15), "of nothing it is 0"


@pytest.mark.parametrize("name", ["accuracy", *AVERAGED])
def test_rows_without_labels_have_the_librarys_values_to_the_last_bit(name: str) -> None:
    for expected, predicted in (([[], []], [[], []]), ([[], [0]], [[0, 1, 2], []]), ([[0, 2]], [[0, 2]])):
        wanted = multi_label_metric(name, expected, predicted, 3)
        assert label_statistics(name, expected, predicted, "abc").observed == wanted


@pytest.mark.parametrize("name", ["entity_f1", "entity_precision", "entity_recall"])
def test_tags_without_entities_have_the_librarys_values_to_the_last_bit(name: str) -> None:
    nothing, something = [["O", "O"], ["O"]], [["B-A", "I-A"], ["I-B"]]
    for expected, predicted in ((nothing, nothing), (nothing, something), (something, nothing), (something, something)):
        assert tag_statistics(name, expected, predicted).observed == tag_metric(name, expected, predicted)
