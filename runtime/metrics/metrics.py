"""Metrics by the names of `ftc.spec.sections.evaluation.METRICS`, each computed by the library that defines it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftc.runtime.metrics.meteor import meteor_scores
from ftc.runtime.metrics.squad import answer_f1, is_exact
from ftc.spec.documents.outcomes import confidence_bin
from ftc.spec.documents.settings import WordnetSettings

if TYPE_CHECKING:
    from ftc.runtime.evaluation.scoring import RowScore

__all__ = [
    "CORPUS_METRICS",
    "answer_metric",
    "answer_scores",
    "calibration_error",
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
CORPUS_METRICS = ("bleu", "chrf", "ter")
"""Metrics of a whole corpus, by sacrebleu."""


def loss_metrics(scores: Sequence[RowScore]) -> dict[str, float]:
    """`loss` in nats by target (a supervised token, or a row's class), and `perplexity`, its exponential."""
    targets = sum(score.targets for score in scores)
    loss = math.fsum(score.loss_sum for score in scores) / max(1, targets)
    return {"loss": loss, "perplexity": math.exp(loss)}


def class_metric(name: str, expected: Sequence[Any], predicted: Sequence[Any], label: Any = None) -> float:
    """A metric of a classification; `precision`, `recall` and `f1` are those of one class."""
    from sklearn import metrics

    if name == "accuracy":
        return float(metrics.accuracy_score(expected, predicted))
    if name == "mcc":
        return float(metrics.matthews_corrcoef(expected, predicted))
    return _scored(name, expected, predicted, label)


def multi_label_metric(
    name: str, expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], num_labels: int, label: Any = None
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
    return _scored(name, matrix(expected), matrix(predicted), label)


def _scored(name: str, expected: Any, predicted: Any, label: Any) -> float:
    """Precision, recall or F1 of one class, or of all by an average; of nothing it is 0."""
    from sklearn import metrics

    average, _, part = name.rpartition("_")
    compute: Any = getattr(metrics, f"{part}_score")
    if average:
        return float(compute(expected, predicted, average=average, zero_division=0))
    return float(compute(expected, predicted, labels=[label], average=None, zero_division=0)[0])


def calibration_error(right: Sequence[bool], confidence: Sequence[float]) -> float:
    """How far confidence lies from accuracy: the expected calibration error of Guo et al. 2017.

    Rows are grouped by the probability of the class that was chosen, in `CONFIDENCE_BINS` intervals of equal width,
    each without its lower end; the distance between mean probability and share of right ones is weighted by rows.
    """
    groups: dict[int, list[tuple[bool, float]]] = {}
    for is_right, share in zip(right, confidence, strict=True):
        groups.setdefault(confidence_bin(share), []).append((is_right, share))
    apart = [abs(math.fsum(share - is_right for is_right, share in group)) for group in groups.values()]
    return math.fsum(apart) / len(right)


def tag_metric(
    name: str, expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], label: str | None = None
) -> float:
    """A metric of tagged words: of entities, which are right if type, begin and end are, or of words.

    `entity_precision`, `entity_recall` and `entity_f1` of a `label` are those of one type of entity.
    """
    if not name.startswith("entity"):
        wanted, got = ([tag for row in side for tag in row] for side in (expected, predicted))
        return class_metric(name, wanted, got, label)
    from seqeval import metrics
    from seqeval.metrics.sequence_labeling import get_entities

    compute: Any = getattr(metrics, name.removeprefix("entity_") + "_score")
    rows = [list(map(list, side)) for side in (expected, predicted)]
    if label is None:
        return float(compute(*rows, zero_division=0))
    types = sorted({kind for side in rows for row in side for kind, _, _ in get_entities(row)})
    scores = dict(zip(types, compute(*rows, average=None, zero_division=0), strict=True)) if types else {}
    return float(scores.get(label, 0.0))


def found_scores(name: str, right: Sequence[Sequence[str]], answers: Sequence[str]) -> list[float]:
    """Each answer's score, where several may be right: `exact_match` or `answer_f1`."""
    compute = is_exact if name == "exact_match" else answer_f1
    return [float(compute(answer, some)) for answer, some in zip(answers, right, strict=True)]


def preference_scores(name: str, predicted: Sequence[Sequence[float]]) -> list[float]:
    """Each pair's score, from log-probability of the chosen and of the rejected answer, and the reward's margin."""
    if name == "preference_accuracy":
        return [float(chosen > rejected) for chosen, rejected, _ in predicted]
    return [margin for _, _, margin in predicted]


def answer_metric(
    name: str, expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None = None
) -> float:
    """A metric of written answers. BLEU, chrF and TER are in percent, as their users know them; the others go to 1.

    Args:
        name: One of `ftc.spec.sections.evaluation.METRICS`.
        expected: What each answer should be.
        answers: What was written.
        wordnet: What METEOR takes synonyms from.
    """
    if name in CORPUS_METRICS:
        return float(sacrebleu_metric(name).corpus_score(list(answers), [list(expected)]).score)
    return _mean(answer_scores(name, expected, answers, wordnet))


def answer_scores(
    name: str, expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None = None
) -> list[float]:
    """Each answer's score, for the metrics that are the mean of those; arguments as for `answer_metric`."""
    if name == "meteor":
        assert wordnet is not None, "a plan with METEOR names its WordNet"
        return meteor_scores(expected, answers, wordnet)
    if name in _ROUGE:
        return _rouge(_ROUGE[name], expected, answers)
    is_right = {"exact_match": _is_same, "valid_json": _is_same_form}[name]
    return [float(is_right(*pair)) for pair in zip(expected, answers, strict=True)]


def sacrebleu_metric(name: str) -> Any:
    """BLEU, chrF or TER as sacrebleu computes them by default."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    return {"bleu": BLEU, "chrf": CHRF, "ter": TER}[name]()


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
