"""Metrics by the libraries that define them, which what a run computes is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ftc.runtime.evaluation.scoring import RowScore
from ftc.spec.documents.outcomes import confidence_bin

ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}
"""rouge-score's names."""


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
    if name in ("balanced_accuracy", "cohen_kappa"):
        return float(getattr(metrics, f"{name}_score")(expected, predicted))
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


def answer_metric(name: str, expected: Sequence[str], answers: Sequence[str]) -> float:
    """A metric of written answers by rouge-score or sacrebleu, or by what its name says."""
    import json

    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    pairs = list(zip(expected, answers, strict=True))
    if name in ("bleu", "chrf", "ter"):
        return float(getattr(sacrebleu, f"corpus_{name}")(list(answers), [list(expected)]).score)
    if name in ROUGE:
        kind = ROUGE[name]
        return math.fsum(RougeScorer([kind]).score(*pair)[kind].fmeasure for pair in pairs) / len(pairs)
    if name == "meteor":
        from nltk.translate.meteor_score import meteor_score

        from ftc.runtime.metrics.texts import meteor_tokens, wordnet_reader
        from ftc.spec.storage.wordnet import wordnets

        reader = wordnet_reader(next(wordnets()))
        tokens = [([meteor_tokens(want)], meteor_tokens(got)) for want, got in pairs]
        return math.fsum(meteor_score(*pair, wordnet=reader) for pair in tokens) / len(pairs)
    if name == "exact_match":
        return math.fsum(want.strip() == got.strip() for want, got in pairs) / len(pairs)
    assert name == "valid_json"

    def shape(text: str) -> Any:
        try:
            return {dict: sorted}.get(type(json.loads(text)), type)(json.loads(text))
        except ValueError:
            return object()

    return math.fsum(shape(want) == shape(got) for want, got in pairs) / len(pairs)


def found_metric(name: str, right: Sequence[Sequence[str]], answers: Sequence[str]) -> float:
    """A metric of answers by the rules of SQuAD's own script, written a second time."""
    import re
    import string
    from collections import Counter

    def words(text: str) -> list[str]:
        bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()

    def f1(one: list[str], other: list[str]) -> float:
        common = (Counter(one) & Counter(other)).total()
        return 2 * common / (len(one) + len(other)) if common else float(one == other)

    score = f1 if name == "answer_f1" else lambda one, other: float(one == other)
    best = [max(score(words(said), words(one)) for one in some) for said, some in zip(answers, right, strict=True)]
    return math.fsum(best) / len(best)


def pair_metric(name: str, predicted: Sequence[Sequence[float]]) -> float:
    """TRL's `rewards/accuracies` and `rewards/margins`, and how often the chosen answer is the likelier one."""
    scores = {
        "preference_accuracy": [float(margin > 0) for _, _, margin in predicted],
        "logps_accuracy": [float(chosen > rejected) for chosen, rejected, _ in predicted],
        "reward_margin": [margin for _, _, margin in predicted],
    }[name]
    return math.fsum(scores) / len(scores)


def ranked_metric(name: str, ranks: Sequence[int]) -> float:
    """nDCG by scikit-learn over a list with one right passage; reciprocal rank and recall as they are defined."""
    import numpy as np
    from sklearn import metrics

    kind, _, most = name.rpartition("_at_")
    scores = []
    for rank in ranks:
        if kind == "ndcg":
            right = np.zeros((1, 20))
            right[0, rank - 1] = 1
            scores.append(float(metrics.ndcg_score(right, -np.arange(20.0)[None], k=int(most))))
        else:
            found = {"mrr": 1 / rank, "recall": 1.0}[kind]
            scores.append(found if rank <= int(most) else 0.0)
    return math.fsum(scores) / len(scores)


def number_metric(name: str, expected: Any, predicted: Any) -> float:
    """A metric of (rows, numbers) by scikit-learn or scipy, those of several numbers as their mean."""
    import numpy as np
    from scipy import stats
    from sklearn import metrics

    compute: Any = {
        "mae": metrics.mean_absolute_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
    }.get(name)
    if compute is not None:
        return float(compute(expected, predicted))
    of_one: Any = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[name]
    return float(np.mean([of_one(*pair).statistic for pair in zip(expected.T, predicted.T, strict=True)]))


def rating_metric(name: str, expected: Any, predicted: Any) -> float:
    """How often a score is above 0 where the rating is 1, and below where it is 0; others as of numbers."""
    if name != "rating_accuracy":
        return number_metric(name, expected, predicted)
    return float(
        sum((score > 0) == (rating == 1) for score, rating in zip(predicted[:, 0], expected[:, 0], strict=True))
        / len(expected)
    )


def step_metric(name: str, expected: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]]) -> float:
    """Steps that are rated rightly, and rows whose first wrong step (0) is found, as ProcessBench counts them."""
    pairs = list(zip(expected, predicted, strict=True))
    if name == "step_accuracy":
        single = [one == other for pair in pairs for one, other in zip(*pair, strict=True)]
        return sum(single) / len(single)
    firsts = [[*wanted, 0].index(0) == [*got, 0].index(0) for wanted, got in pairs]
    return sum(firsts) / len(firsts)
