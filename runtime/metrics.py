"""Metrics by the names of `ftc.spec.evaluation.METRICS`, each computed by the library that defines it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from ftc.runtime.scoring import RowScore

__all__ = ["answer_metric", "class_metric", "loss_metrics"]


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
    computed: dict[str, Callable[[], float]] = {
        "exact_match": lambda: _mean([_is_same(*pair) for pair in zip(expected, answers, strict=True)]),
        "valid_json": lambda: _mean([_is_same_form(*pair) for pair in zip(expected, answers, strict=True)]),
        "rouge_l": lambda: _rouge_l(expected, answers),
        "bleu": lambda: _sacrebleu("BLEU", expected, answers),
        "chrf": lambda: _sacrebleu("CHRF", expected, answers),
    }
    return computed[name]()


def _is_same(expected: str, answer: str) -> bool:
    return expected.strip() == answer.strip()


def _is_same_form(expected: str, answer: str) -> bool:
    """Whether an answer is JSON of the same type as the expected one, with the same keys."""
    try:
        want, got = json.loads(expected), json.loads(answer)
    except ValueError:
        return False
    return type(want) is type(got) and (not isinstance(want, dict) or want.keys() == got.keys())


def _rouge_l(expected: Sequence[str], answers: Sequence[str]) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return _mean([scorer.score(want, got)["rougeL"].fmeasure for want, got in zip(expected, answers, strict=True)])


def _sacrebleu(name: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    metric = BLEU() if name == "BLEU" else CHRF()
    return float(metric.corpus_score(list(answers), [list(expected)]).score)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
