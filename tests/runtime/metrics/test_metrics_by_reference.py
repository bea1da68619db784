"""Metrics beside the libraries that define them, to the last digit, on rows drawn at random."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.support.metric_values import (
    answer_metric,
    calibration_error,
    class_metric,
    found_scores,
    multi_label_metric,
    tag_metric,
)

TEXT = "The council, an old one, approved a new plan for trams: after long talks on Tuesday night! It won't wait."
WORDS = TEXT.split()
OF_NOTHING: dict[str, Any] = {"zero_division": 0}
"""A ratio of nothing is 0."""
PARTS = ("f1", "precision", "recall")


def sentences(seed: int, count: int = 40) -> tuple[list[str], list[str]]:
    """Texts, and the same with words left out, exchanged or cut off."""
    chance = random.Random(seed)
    wanted = [" ".join(chance.sample(WORDS, chance.randrange(6, 15))) for _ in range(count)]
    return wanted, [" ".join(chance.sample(text.split(), chance.randrange(len(text.split()) + 1))) for text in wanted]


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_averages_are_those_of_sklearn(average: str) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    chance = random.Random(1)
    expected, predicted = ([chance.randrange(6) for _ in range(200)] for _ in range(2))
    precision, recall, f1, _ = precision_recall_fscore_support(expected, predicted, average=average, **OF_NOTHING)
    found = [class_metric(f"{average}_{part}", expected, predicted) for part in PARTS]
    assert found == [f1, precision, recall]
    chosen = [[0], [1, 2], [], [2]], [[0, 1], [2], [1], [2]]
    grids = [np.array([[number in row for number in range(3)] for row in side]) for side in chosen]
    precision, recall, f1, _ = precision_recall_fscore_support(*grids, average=average, **OF_NOTHING)
    assert [multi_label_metric(f"{average}_{part}", *chosen, 3) for part in PARTS] == [f1, precision, recall]


def test_a_class_is_a_line_of_sklearns_report() -> None:
    from sklearn.metrics import classification_report

    chance = random.Random(2)
    names = ("sport", "business", "tech")
    expected, predicted = (chance.choices(names, k=90) for _ in range(2))
    lines: Any = classification_report(expected, predicted, output_dict=True, **OF_NOTHING)
    for name in names:
        found = [class_metric(part, expected, predicted, name) for part in PARTS]
        assert found == [lines[name]["f1-score"], lines[name]["precision"], lines[name]["recall"]]


def test_an_entitys_type_is_a_line_of_seqevals_report() -> None:
    from seqeval.metrics import classification_report, f1_score

    chance = random.Random(3)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    expected, predicted = ([chance.choices(tags, k=12) for _ in range(60)] for _ in range(2))
    lines: Any = classification_report(expected, predicted, output_dict=True, **OF_NOTHING)
    for name in ("PER", "LOC"):
        found = [tag_metric(f"entity_{part}", expected, predicted, name) for part in PARTS]
        assert found == [lines[name]["f1-score"], lines[name]["precision"], lines[name]["recall"]]
    assert tag_metric("entity_f1", expected, predicted) == f1_score(expected, predicted)


@pytest.mark.parametrize(("seed", "f1"), [(4, 0.5385533905029297), (5, 0.6361261749267578)])
def test_answers_are_told_apart_as_by_squads_own_rules(seed: int, f1: float) -> None:
    """The values are those of `squad` in torchmetrics 1.9, in float32, which does as the official script does."""
    wanted, got = sentences(seed)
    right = [[text, other] for text, other in zip(wanted, reversed(wanted), strict=True)]
    assert np.mean(found_scores("answer_f1", right, got)) == pytest.approx(f1, abs=1e-7)
    assert np.mean(found_scores("exact_match", right, got)) == 0


def test_corpora_are_scored_as_by_sacrebleu() -> None:
    import sacrebleu

    wanted, got = sentences(6)
    assert answer_metric("bleu", wanted, got) == sacrebleu.corpus_bleu(got, [wanted]).score
    assert answer_metric("chrf", wanted, got) == sacrebleu.corpus_chrf(got, [wanted]).score
    assert answer_metric("ter", wanted, got) == sacrebleu.corpus_ter(got, [wanted]).score


def test_summaries_are_scored_as_by_rouge_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    wanted, got = sentences(7)
    wanted, got = ([text.replace(": ", ":\n") for text in side] for side in (wanted, got))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    found = [scorer.score(one, other) for one, other in zip(wanted, got, strict=True)]
    for name, kind in (
        ("rouge_1", "rouge1"),
        ("rouge_2", "rouge2"),
        ("rouge_l", "rougeL"),
        ("rouge_lsum", "rougeLsum"),
    ):
        mean = np.mean([one[kind].fmeasure for one in found])
        assert answer_metric(name, wanted, got) == pytest.approx(mean, abs=1e-15)


def test_calibration_is_that_of_torchmetrics() -> None:
    """torchmetrics 1.9 gives `multiclass_calibration_error(..., n_bins=15, norm="l1")` these values, in float32.

    It is too much to install for one function.
    """
    generator = np.random.default_rng(11)
    for classes, reference in CALIBRATED.items():
        scores = generator.random((500, classes)) ** 3
        shares = scores / scores.sum(axis=1, keepdims=True)
        labels = np.where(generator.random(500) < 0.6, shares.argmax(axis=1), generator.integers(classes, size=500))
        right = (shares.argmax(axis=1) == labels).tolist()
        assert calibration_error(right, shares.max(axis=1).tolist()) == pytest.approx(reference, abs=1e-7)


CALIBRATED: dict[int, float] = {2: 0.13836979866027832, 5: 0.185683012008667}
