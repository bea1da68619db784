"""Metrics by the names of `ftc.spec.evaluation.METRICS`, each computed by the library that defines it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ftc.runtime.squad import answer_f1, is_exact

if TYPE_CHECKING:
    from ftc.runtime.scoring import RowScore

__all__ = [
    "answer_metric",
    "answer_scores",
    "class_metric",
    "found_scores",
    "loss_metrics",
    "multi_label_metric",
    "preference_scores",
    "sacrebleu_metric",
    "tag_metric",
]

_ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}
"""rouge-score's names."""


def loss_metrics(scores: Sequence[RowScore]) -> dict[str, float]:
    """`loss` in nats by target (a supervised token, or a row's class), and `perplexity`, its exponential."""
    targets = sum(score.targets for score in scores)
    loss = math.fsum(score.loss_sum for score in scores) / max(1, targets)
    return {"loss": loss, "perplexity": math.exp(loss)}


def class_metric(name: str, expected: Sequence[Any], predicted: Sequence[Any]) -> float:
    """A metric of a classification."""
    from sklearn import metrics

    f1_score: Any = metrics.f1_score
    computed: dict[str, Callable[[], Any]] = {
        "accuracy": lambda: metrics.accuracy_score(expected, predicted),
        "macro_f1": lambda: f1_score(expected, predicted, average="macro", zero_division=0),
        "weighted_f1": lambda: f1_score(expected, predicted, average="weighted", zero_division=0),
        "mcc": lambda: metrics.matthews_corrcoef(expected, predicted),
    }
    return float(computed[name]())


def multi_label_metric(
    name: str, expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], num_labels: int
) -> float:
    """A metric of rows that have any number of classes; `accuracy` is the share of rows with exactly the right ones."""
    import numpy as np
    from sklearn import metrics

    def matrix(rows: Sequence[Sequence[int]]) -> Any:
        made = np.zeros((len(rows), num_labels), dtype=np.int64)
        for line, classes in enumerate(rows):
            made[line, [int(number) for number in classes]] = 1
        return made

    if name == "accuracy":
        return float(metrics.accuracy_score(matrix(expected), matrix(predicted)))
    f1_score: Any = metrics.f1_score
    return float(f1_score(matrix(expected), matrix(predicted), average=name.removesuffix("_f1"), zero_division=0))


def tag_metric(name: str, expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """A metric of tagged words: of entities, which are right if type, begin and end are, or of words."""
    if name in ("accuracy", "macro_f1"):
        return class_metric(name, [tag for row in expected for tag in row], [tag for row in predicted for tag in row])
    from seqeval import metrics

    compute: Any = getattr(metrics, name.replace("entity", "").strip("_") + "_score")
    return float(compute(list(map(list, expected)), list(map(list, predicted)), zero_division=0))


def found_scores(name: str, right: Sequence[Sequence[str]], answers: Sequence[str]) -> list[float]:
    """Each answer's score, where several may be right: `exact_match` or `answer_f1`."""
    compute = is_exact if name == "exact_match" else answer_f1
    return [float(compute(answer, some)) for answer, some in zip(answers, right, strict=True)]


def preference_scores(name: str, predicted: Sequence[Sequence[float]]) -> list[float]:
    """Each pair's score, from log-probability of the chosen and of the rejected answer, and the reward's margin."""
    if name == "preference_accuracy":
        return [float(chosen > rejected) for chosen, rejected, _ in predicted]
    return [margin for _, _, margin in predicted]


def answer_metric(name: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    """A metric of written answers. BLEU and chrF go from 0 to 100, as their users know them; the others to 1."""
    if name in ("bleu", "chrf"):
        return float(sacrebleu_metric(name).corpus_score(list(answers), [list(expected)]).score)
    return _mean(answer_scores(name, expected, answers))


def answer_scores(name: str, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Each answer's score, for the metrics that are the mean of those."""
    if name in _ROUGE:
        return _rouge(_ROUGE[name], expected, answers)
    is_right = {"exact_match": _is_same, "valid_json": _is_same_form}[name]
    return [float(is_right(*pair)) for pair in zip(expected, answers, strict=True)]


def sacrebleu_metric(name: str) -> Any:
    """BLEU or chrF as sacrebleu computes them by default."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return BLEU() if name == "bleu" else CHRF()


def _is_same(expected: str, answer: str) -> bool:
    return expected.strip() == answer.strip()


def _is_same_form(expected: str, answer: str) -> bool:
    """Whether an answer is JSON of the same type as the expected one, with the same keys."""
    try:
        want, got = json.loads(expected), json.loads(answer)
    except ValueError:
        return False
    return type(want) is type(got) and (not isinstance(want, dict) or want.keys() == got.keys())


def _rouge(kind: str, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    """F-measures without stemming; for `rougeLsum` a line is a sentence."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind])
    return [scorer.score(want, got)[kind].fmeasure for want, got in zip(expected, answers, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
