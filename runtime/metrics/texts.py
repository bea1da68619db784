"""Metrics of written answers, by the libraries that define them: rouge-score, sacrebleu and nltk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftc.runtime.metrics.meteor import meteor_scores
from ftc.runtime.metrics.squad import answer_f1, is_exact
from ftc.runtime.metrics.sums import Floats, Statistics, mean_of
from ftc.spec.documents.settings import WordnetSettings

__all__ = ["FOUND", "WRITTEN", "Found", "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """Answers that were written.

    Attributes:
        expected: What each should be.
        answers: What was written.
        wordnet: What METEOR takes synonyms from.
    """

    expected: Sequence[str]
    answers: Sequence[str]
    wordnet: WordnetSettings | None


@dataclass(frozen=True, slots=True)
class Found:
    """Answers of which several may be right.

    Attributes:
        right: The right ones of each question; none where there is no answer.
        answers: What was said.
    """

    right: Sequence[Sequence[str]]
    answers: Sequence[str]


def _by_pair(score: Callable[[str, str], float]) -> Callable[[Written], Statistics]:
    return lambda one: mean_of([float(score(*pair)) for pair in zip(one.expected, one.answers, strict=True)])


def _by_answer(score: Callable[[str, Sequence[str]], float]) -> Callable[[Found], Statistics]:
    return lambda one: mean_of([float(score(*pair)) for pair in zip(one.answers, one.right, strict=True)])


def _is_same(expected: str, answer: str) -> bool:
    return expected.strip() == answer.strip()


def _is_same_form(expected: str, answer: str) -> bool:
    """Whether an answer is JSON of the same type as the expected one, with the same keys."""
    try:
        want, got = json.loads(expected), json.loads(answer)
    except ValueError:
        return False
    return type(want) is type(got) and (not isinstance(want, dict) or want.keys() == got.keys())


def _rouge(kind: str) -> Callable[[Written], Statistics]:
    """F-measures without stemming; for `rougeLsum` a line is a sentence."""

    def statistics(found: Written) -> Statistics:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([kind])
        return mean_of([scorer.score(*pair)[kind].fmeasure for pair in zip(found.expected, found.answers, strict=True)])

    return statistics


def _meteor(found: Written) -> Statistics:
    assert found.wordnet is not None, "a plan with METEOR names its WordNet"
    return mean_of(meteor_scores(found.expected, found.answers, found.wordnet))


def _corpus(name: str) -> Callable[[Written], Statistics]:
    """What sacrebleu counts of each row, and its score of such counts, by its defaults; in percent."""

    def statistics(found: Written) -> Statistics:
        from sacrebleu.metrics import METRICS

        metric: Any = METRICS[name]()
        # sacrebleu resamples by these two itself, and offers no public way to them.
        rows = np.array(metric._extract_corpus_statistics(list(found.answers), [list(found.expected)]), np.float64)

        def score(sums: Floats) -> float:
            return float(metric._compute_score_from_stats(sums.astype(int).tolist()).score)

        return Statistics(rows, lambda sums: np.asarray(np.apply_along_axis(score, -1, sums)))

    return statistics


WRITTEN: dict[str, Callable[[Written], Statistics]] = {
    "exact_match": _by_pair(_is_same),
    "valid_json": _by_pair(_is_same_form),
    "rouge_1": _rouge("rouge1"),
    "rouge_2": _rouge("rouge2"),
    "rouge_l": _rouge("rougeL"),
    "rouge_lsum": _rouge("rougeLsum"),
    "meteor": _meteor,
    "bleu": _corpus("BLEU"),
    "chrf": _corpus("CHRF"),
    "ter": _corpus("TER"),
}
"""Metrics of written answers."""
FOUND: dict[str, Callable[[Found], Statistics]] = {
    "exact_match": _by_answer(is_exact),
    "answer_f1": _by_answer(answer_f1),
}
"""Metrics of answers of which several may be right, by SQuAD's rules."""
