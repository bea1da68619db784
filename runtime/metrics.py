"""Metrics by the names of `ftc.spec.evaluation.METRICS`, each computed by the library that defines it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftc.runtime.scoring import RowScore

__all__ = ["answer_metric", "answer_scores", "class_metric", "loss_metrics", "sacrebleu_metric"]


def loss_metrics(scores: Sequence[RowScore]) -> dict[str, float]:
    """`loss` in nats by target (a supervised token, or a row's class), and `perplexity`, its exponential."""
    targets = sum(score.targets for score in scores)
    loss = math.fsum(score.loss_sum for score in scores) / max(1, targets)
    return {"loss": loss, "perplexity": math.exp(loss)}


def class_metric(name: str, expected: Sequence[int], predicted: Sequence[int]) -> float:
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


def answer_metric(name: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    """A metric of written answers. BLEU and chrF go from 0 to 100, as their users know them; the others to 1."""
    if name in ("bleu", "chrf"):
        return float(sacrebleu_metric(name).corpus_score(list(answers), [list(expected)]).score)
    return _mean(answer_scores(name, expected, answers))


def answer_scores(name: str, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Each answer's score, for the metrics that are the mean of those."""
    if name == "rouge_l":
        return _rouge_l(expected, answers)
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


def _rouge_l(expected: Sequence[str], answers: Sequence[str]) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return [scorer.score(want, got)["rougeL"].fmeasure for want, got in zip(expected, answers, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
