"""Metrics against figures worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics import Predictions, Rewarded, statistics_of
from ftc.runtime.metrics.classes import Tags
from ftc.runtime.metrics.numbers import Numbers
from ftc.spec.documents.companion_settings import WordnetSettings
from ftc.spec.metrics import METRICS
from ftc.spec.rewards import RewardTerm
from ftc.spec.storage import wordnet
from tests.support.metric_values import (
    answer_metric,
    calibration_error,
    class_metric,
    found_scores,
    loss_metrics,
    multi_label_metric,
    number_metric,
    preference_scores,
    ranked_scores,
    tag_metric,
)
from tests.support.wordnets import write_wordnet


def test_loss_weighs_targets_and_not_rows() -> None:
    scores = [RowScore(0, 6.0, 3), RowScore(1, 1.0, 1)]
    assert loss_metrics(scores) == {"loss": 1.75, "perplexity": pytest.approx(math.exp(1.75))}


def test_classes() -> None:
    expected, predicted = [0, 0, 1, 1], [0, 1, 1, 1]
    assert class_metric("accuracy", expected, predicted) == 0.75
    assert class_metric("macro_f1", expected, predicted) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert class_metric("weighted_f1", expected, predicted) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert class_metric("mcc", expected, predicted) == pytest.approx(1 / math.sqrt(3))


def test_answers() -> None:
    assert answer_metric("exact_match", ["a b", "c"], [" a b\n", "d"]) == 0.5
    assert answer_metric("rouge_l", ["the cat sat"], ["the cat ran"]) == pytest.approx(2 / 3)
    assert answer_metric("bleu", ["the cat sat on the mat"], ["the cat sat on the mat"]) == pytest.approx(100)
    assert answer_metric("chrf", ["the cat"], ["the cat"]) == pytest.approx(100)


@pytest.mark.parametrize(
    ("answer", "share"),
    [('{"b": 1, "a": 2}', 1.0), ('{"a": 2}', 0.0), ("[1]", 0.0), ("no json", 0.0), ('{"a": 1, "b": 2} and more', 0.0)],
)
def test_valid_json_wants_the_keys_of_the_expected_answer(answer: str, share: float) -> None:
    assert answer_metric("valid_json", ['{"a": 0, "b": 0}'], [answer]) == share


def test_a_preference_is_what_tuning_raised_and_not_the_shorter_answer() -> None:
    """The chosen answer is long: tuning raised it from -70 to -60, and the rejected one from -10 to -9."""
    beta, chosen, rejected = 0.1, -60.0, -9.0
    pair = (chosen, rejected, beta * ((chosen + 70) - (rejected + 10)))
    assert preference_scores("preference_accuracy", [pair]) == [1]
    assert preference_scores("reward_margin", [pair]) == [pytest.approx(0.9)]
    assert preference_scores("logps_accuracy", [pair]) == [0]
    assert preference_scores("preference_accuracy", [(chosen, rejected, 0.0)]) == [0], "as TRL has a tie"


def test_calibration_by_hand() -> None:
    """Two rows at 0.95, one of them right, and two right ones at 0.65: |0.95 - 0.5| and |0.65 - 1|, half each."""
    right, confidence = [True, False, True, True], [0.95, 0.95, 0.65, 0.65]
    assert calibration_error(right, confidence) == pytest.approx((0.45 + 0.35) / 2)


def test_one_class_or_one_type_of_entity() -> None:
    assert class_metric("precision", [0, 0, 1, 1], [0, 1, 1, 1], 1) == pytest.approx(2 / 3)
    assert class_metric("recall", [0, 0, 1, 1], [0, 1, 1, 1], 0) == 0.5
    assert multi_label_metric("f1", [[0], [0, 1]], [[1], [1]], 2, 1) == pytest.approx(2 / 3)
    expected, predicted = [["B-A", "O", "B-B"]], [["B-A", "B-A", "B-B"]]
    assert tag_metric("entity_precision", expected, predicted, "A") == 0.5
    assert tag_metric("entity_f1", expected, predicted, "B") == 1
    assert tag_metric("entity_f1", expected, predicted, "C") == 0


def test_every_metric_of_the_language_can_be_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ['{"a": 1}']
    folder = write_wordnet(tmp_path / "wordnet")
    monkeypatch.setattr(wordnet, "wordnet_places", lambda: (folder,))
    (found,) = wordnet.wordnets()
    synonyms = WordnetSettings(release=found.release, sha256=found.sha256)
    rewarded = Rewarded.of([RewardTerm(kind="exact_match")], [("a", "a")])
    steps = Tags(("wrong", "right"), [[1, 0]], [[1, 0]])
    rated: dict[str, Predictions] = {
        "rating_accuracy": Numbers(np.array([[1.0], [0.0]]), np.array([[2.0], [-2.0]])),
        "step_accuracy": steps,
        "first_error_accuracy": steps,
    }
    for kind in METRICS:
        name = kind.name
        if "question_answering" in kind.tasks and kind.generates:
            assert found_scores(name, [text], text) == [1]
        elif kind.tasks == ("reinforcement",) or name in rated:
            assert statistics_of(name, rated.get(name, rewarded)).observed == 1
        elif kind.generates:
            assert answer_metric(name, text, text, synonyms) >= 0
        elif name.startswith("micro"):
            assert multi_label_metric(name, [[0], [0, 1]], [[0], [0, 1]], 2) == 1
        elif name == "calibration_error":
            assert calibration_error([True], [1.0]) == 0
        elif "classification" in kind.tasks and name != "loss":
            assert class_metric(name, [0, 1], [0, 1]) == 1
        elif kind.tasks == ("token_classification",):
            assert tag_metric(name, [["B-A", "O"]], [["B-A", "O"]]) == 1
        elif "regression" in kind.tasks and name != "loss":
            assert number_metric(name, [[1.0], [2.0]], [[1.0], [2.0]]) == (1 if kind.higher_is_better else 0)
        elif kind.tasks == ("embedding", "reranking"):
            assert ranked_scores(name, [1]) == [1]
        elif set(kind.tasks) <= {"preference", "reward"}:
            assert preference_scores(name, [(-1.0, -2.0, 1.0)]) == [1]
        else:
            assert name in loss_metrics([RowScore(0, 1.0, 1)])
