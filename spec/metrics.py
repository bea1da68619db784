"""Metrics: what is known of each before anything is measured. A card a metric, in one tuple.

What a metric computes stands in `ftc.runtime.metrics`, by the same names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ftc.spec.extension_points import extension_point, package_entry

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "METRIC_BY_NAME",
    "WORDNET",
    "Kind",
    "Metric",
    "Need",
    "Trait",
    "metric_called",
    "metric_named",
    "needs_of",
    "split_metric",
]

Kind = Literal["share", "mean", "corpus"]
"""How a metric comes from rows. A share: each row is right or wrong. A mean: each row has a score. Corpus: a function
of other sums over rows, such as counts of n-grams or of each class.
"""
Trait = Literal[
    "single_label",
    "multi_label",
    "generative",
    "plain_tags",
    "entity_tags",
    "ranked",
    "rated",
    "compared",
    "good_or_bad",
    "scored",
    "stepwise",
]
"""What a task's labels can be, besides its kind: one class a row or several, classes that the model writes, tags
that stand for themselves or for entities, passages that are to be found, and scores of two texts; of a reward model
which of two answers is preferred, whether an answer is good, its number, or whether each of its steps is right.
"""


class Need(NamedTuple):
    """What a metric needs beside ftc's own dependencies."""

    extra: str
    """The extra of ftc that brings its package."""
    package: str
    """The module that the extra brings."""
    data: str
    """Name of the data that no package carries, for people."""
    bytes_low: int
    """The least that the data take in memory while answers are measured."""
    bytes_expected: int
    bytes_high: int


_MIB = 2**20
WORDNET = Need(
    extra="meteor",
    package="nltk",
    data="WordNet",
    # WordNet 3.0 in nltk's reader: when it is opened, once 5,000 words were looked up, and once every word was
    bytes_low=95 * _MIB,
    bytes_expected=110 * _MIB,
    bytes_high=210 * _MIB,
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's card."""

    name: str
    """As recipes write it."""
    title: str
    """Name for people."""
    tasks: tuple[str, ...]
    """Kinds of task that it is for."""
    lacks: tuple[Trait, ...]
    """Labels of those tasks that it can't measure, or that another metric says as much of."""
    higher_is_better: bool
    generates: bool
    """Whether a language model has to write answers for it, which takes far longer than scoring."""
    of_loss: bool
    """Whether it comes from cross entropy alone, so that no answer is needed for it and no row counts as right."""
    least: float
    """No result is lower."""
    most: float
    """No result is higher."""
    kind: Kind
    headline: int | None
    """Where it is looked for when one metric stands for a whole result, 1 first; None where it doesn't."""
    needs: Need | None
    """What it needs beside ftc's own dependencies."""
    hub: str
    """What the Hugging Face hub calls it in a model card; its own name where the hub has none."""
    foreign: tuple[str, ...]
    """What scikit-learn, evaluate, TRL, Axolotl and others call it, where that differs."""

    def serves(self, kind: str, traits: Iterable[Trait]) -> bool:
        """Whether a task of a kind, with labels of these traits, can be measured by it."""
        return kind in self.tasks and not set(self.lacks).intersection(traits)

    @property
    def is_share(self) -> bool:
        """Whether it is a share of decisions that are right, whose interval is one of proportions."""
        return self.kind == "share"

    def is_share_of_rows(self, traits: Iterable[Trait]) -> bool:
        """Whether one row more or less that is right moves it by one of the rows; a row of tags has many decisions."""
        return self.is_share and not {"plain_tags", "entity_tags"}.intersection(traits)


_CLASSES = ("classification",)
_WORDS = ("token_classification",)
_QUESTIONS = ("question_answering",)
_SUMMARIES = ("summarization",)
_TEXTS = ("generation", "summarization", "translation")
_NUMBERS = ("regression", "reward")
_CORRELATED = ("regression", "embedding", "reward")
_NO_NUMBERS: tuple[Trait, ...] = ("compared", "good_or_bad", "stepwise")
_NO_SCORES: tuple[Trait, ...] = ("ranked", "compared", "stepwise")
_NO_STEPS: tuple[Trait, ...] = ("compared", "good_or_bad", "scored")
_NO_PAIRS: tuple[Trait, ...] = ("good_or_bad", "scored", "stepwise")
_RANKED = ("embedding", "reranking")
_SAMPLED = ("reinforcement",)
_PAIRS = ("preference", "reward")
_BLOCKS = ("pretraining", "masked_language_modeling", "span_corruption")
_LANGUAGE = ("generation", "summarization", "translation", "chat", *_BLOCKS)
_EVERY = (
    "classification",
    "regression",
    "token_classification",
    "question_answering",
    "summarization",
    "translation",
    "generation",
    "chat",
    "preference",
    "reward",
    "embedding",
    "reranking",
    *_BLOCKS,
)

# fmt: off
METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "accuracy", tasks=_CLASSES + _WORDS, lacks=(), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="accuracy",
           foreign=("accuracy_score", "acc", "overall_accuracy")),
    Metric("macro_f1", "macro F1", tasks=_CLASSES + _WORDS, lacks=("entity_tags",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=1, needs=None, hub="f1",
           foreign=("f1_macro", "f1", "f1_score")),
    Metric("micro_f1", "micro F1", tasks=_CLASSES, lacks=("single_label",), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="f1",
           foreign=("f1_micro", "f1", "f1_score")),
    Metric("weighted_f1", "weighted F1", tasks=_CLASSES, lacks=(), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="f1",
           foreign=("f1_weighted",)),
    Metric("macro_precision", "macro precision", tasks=_CLASSES + _WORDS, lacks=("entity_tags",),
           higher_is_better=True, generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None,
           needs=None, hub="precision", foreign=("precision_macro", "precision", "precision_score")),
    Metric("micro_precision", "micro precision", tasks=_CLASSES, lacks=("single_label",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="precision",
           foreign=("precision_micro", "precision", "precision_score")),
    Metric("weighted_precision", "weighted precision", tasks=_CLASSES, lacks=(), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="precision",
           foreign=("precision_weighted",)),
    Metric("macro_recall", "macro recall", tasks=_CLASSES + _WORDS, lacks=("entity_tags",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="recall",
           foreign=("recall_macro", "recall", "recall_score")),
    Metric("micro_recall", "micro recall", tasks=_CLASSES, lacks=("single_label",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="recall",
           foreign=("recall_micro", "recall", "recall_score")),
    Metric("weighted_recall", "weighted recall", tasks=_CLASSES, lacks=(), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="recall",
           foreign=("recall_weighted",)),
    Metric("mcc", "Matthews correlation", tasks=_CLASSES, lacks=("multi_label",), higher_is_better=True,
           generates=False, of_loss=False, least=-1, most=1, kind="corpus", headline=None, needs=None,
           hub="matthews_correlation", foreign=("matthews_corrcoef", "matthews_correlation")),
    Metric("balanced_accuracy", "balanced accuracy", tasks=_CLASSES, lacks=("multi_label",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None,
           hub="balanced_accuracy", foreign=("balanced_accuracy_score",)),
    Metric("cohen_kappa", "Cohen's kappa", tasks=_CLASSES, lacks=("multi_label",), higher_is_better=True,
           generates=False, of_loss=False, least=-1, most=1, kind="corpus", headline=None, needs=None,
           hub="cohen_kappa", foreign=("cohen_kappa_score", "kappa")),
    Metric("calibration_error", "calibration error", tasks=_CLASSES, lacks=("multi_label", "generative"),
           higher_is_better=False, generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None,
           needs=None, hub="calibration_error", foreign=("ece", "expected_calibration_error")),
    Metric("entity_f1", "entity F1", tasks=_WORDS, lacks=("plain_tags",), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="f1",
           foreign=("overall_f1", "seqeval", "f1", "f1_score")),
    Metric("entity_precision", "entity precision", tasks=_WORDS, lacks=("plain_tags",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="precision",
           foreign=("overall_precision", "precision", "precision_score")),
    Metric("entity_recall", "entity recall", tasks=_WORDS, lacks=("plain_tags",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None, needs=None, hub="recall",
           foreign=("overall_recall", "recall", "recall_score")),
    Metric("mae", "mean absolute error", tasks=_NUMBERS, lacks=_NO_NUMBERS, higher_is_better=False, generates=False,
           of_loss=False, least=0, most=math.inf, kind="mean", headline=5, needs=None, hub="mae",
           foreign=("mean_absolute_error",)),
    Metric("rmse", "root mean squared error", tasks=_NUMBERS, lacks=_NO_NUMBERS, higher_is_better=False,
           generates=False, of_loss=False, least=0, most=math.inf, kind="corpus", headline=None, needs=None, hub="rmse",
           foreign=("root_mean_squared_error",)),
    Metric("r2", "R squared", tasks=_NUMBERS, lacks=_NO_NUMBERS, higher_is_better=True, generates=False, of_loss=False,
           least=-math.inf, most=1, kind="corpus", headline=None, needs=None, hub="r_squared",
           foreign=("r2_score", "r_squared")),
    Metric("pearson", "Pearson correlation", tasks=_CORRELATED, lacks=_NO_SCORES, higher_is_better=True,
           generates=False, of_loss=False, least=-1, most=1, kind="corpus", headline=None, needs=None, hub="pearsonr",
           foreign=("pearsonr", "pearson_correlation")),
    Metric("spearman", "Spearman correlation", tasks=_CORRELATED, lacks=_NO_SCORES, higher_is_better=True,
           generates=False, of_loss=False, least=-1, most=1, kind="corpus", headline=7, needs=None, hub="spearmanr",
           foreign=("spearmanr", "spearman_correlation")),
    Metric("loss", "loss", tasks=_EVERY, lacks=(), higher_is_better=False, generates=False, of_loss=True, least=0,
           most=math.inf, kind="corpus", headline=None, needs=None, hub="loss",
           foreign=("eval_loss", "cross_entropy", "nll_loss")),
    Metric("perplexity", "perplexity", tasks=_LANGUAGE, lacks=(), higher_is_better=False, generates=False,
           of_loss=True, least=1, most=math.inf, kind="corpus", headline=4, needs=None, hub="perplexity",
           foreign=("ppl",)),
    Metric("exact_match", "exact match", tasks=("generation", "question_answering"), lacks=(), higher_is_better=True,
           generates=True, of_loss=False, least=0, most=1, kind="share", headline=2, needs=None, hub="exact_match",
           foreign=("exact", "em")),
    Metric("answer_f1", "answer F1", tasks=_QUESTIONS, lacks=(), higher_is_better=True, generates=True, of_loss=False,
           least=0, most=1, kind="mean", headline=None, needs=None, hub="f1", foreign=("squad", "squad_v2", "f1")),
    Metric("rouge_1", "ROUGE-1", tasks=_SUMMARIES, lacks=(), higher_is_better=True, generates=True, of_loss=False,
           least=0, most=1, kind="mean", headline=None, needs=None, hub="rouge", foreign=("rouge1", "rouge-1")),
    Metric("rouge_2", "ROUGE-2", tasks=_SUMMARIES, lacks=(), higher_is_better=True, generates=True, of_loss=False,
           least=0, most=1, kind="mean", headline=None, needs=None, hub="rouge", foreign=("rouge2", "rouge-2")),
    Metric("rouge_l", "ROUGE-L", tasks=_TEXTS, lacks=(), higher_is_better=True, generates=True, of_loss=False,
           least=0, most=1, kind="mean", headline=3, needs=None, hub="rouge", foreign=("rougeL", "rouge-l", "rouge")),
    Metric("rouge_lsum", "ROUGE-Lsum", tasks=_SUMMARIES, lacks=(), higher_is_better=True, generates=True,
           of_loss=False, least=0, most=1, kind="mean", headline=None, needs=None, hub="rouge",
           foreign=("rougeLsum",)),
    Metric("bleu", "BLEU", tasks=_TEXTS, lacks=(), higher_is_better=True, generates=True, of_loss=False, least=0,
           most=100, kind="corpus", headline=None, needs=None, hub="bleu", foreign=("sacrebleu",)),
    Metric("chrf", "chrF", tasks=_TEXTS, lacks=(), higher_is_better=True, generates=True, of_loss=False, least=0,
           most=100, kind="corpus", headline=None, needs=None, hub="chrf", foreign=("chrF",)),
    Metric("ter", "TER", tasks=_TEXTS, lacks=(), higher_is_better=False, generates=True, of_loss=False, least=0,
           most=math.inf, kind="corpus", headline=None, needs=None, hub="ter", foreign=("translation_edit_rate",)),
    Metric("meteor", "METEOR", tasks=_TEXTS, lacks=(), higher_is_better=True, generates=True, of_loss=False, least=0,
           most=1, kind="mean", headline=None, needs=WORDNET, hub="meteor", foreign=("meteor_score",)),
    Metric("valid_json", "valid JSON", tasks=("generation",), lacks=(), higher_is_better=True, generates=True,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="valid_json", foreign=()),
    Metric("mean_reward", "mean reward", tasks=_SAMPLED, lacks=(), higher_is_better=True, generates=True,
           of_loss=False, least=-math.inf, most=math.inf, kind="mean", headline=None, needs=None, hub="mean_reward",
           foreign=("reward", "rewards/mean")),
    Metric("correct", "share correct", tasks=_SAMPLED, lacks=(), higher_is_better=True, generates=True,
           of_loss=False, least=0, most=1, kind="share", headline=6, needs=None, hub="accuracy",
           foreign=("pass@1", "pass_at_1")),
    Metric("preference_accuracy", "preference accuracy", tasks=_PAIRS, lacks=_NO_PAIRS, higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="share", headline=None, needs=None,
           hub="preference_accuracy", foreign=("rewards/accuracies", "reward_accuracy")),
    Metric("reward_margin", "reward margin", tasks=_PAIRS, lacks=_NO_PAIRS, higher_is_better=True, generates=False,
           of_loss=False, least=-math.inf, most=math.inf, kind="mean", headline=None, needs=None, hub="reward_margin",
           foreign=("rewards/margins",)),
    Metric("rating_accuracy", "rating accuracy", tasks=("reward",), lacks=("compared", "scored", "stepwise"),
           higher_is_better=True, generates=False, of_loss=False, least=0, most=1, kind="share", headline=None,
           needs=None, hub="accuracy", foreign=("accuracy",)),
    Metric("step_accuracy", "step accuracy", tasks=("reward",), lacks=_NO_STEPS,
           higher_is_better=True, generates=False, of_loss=False, least=0, most=1, kind="corpus", headline=None,
           needs=None, hub="accuracy", foreign=("accuracy",)),
    Metric("first_error_accuracy", "first error accuracy", tasks=("reward",), lacks=_NO_STEPS,
           higher_is_better=True, generates=False, of_loss=False, least=0, most=1, kind="share", headline=None,
           needs=None, hub="accuracy", foreign=()),
    Metric("logps_accuracy", "log-probability accuracy", tasks=("preference",), lacks=("rated",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="share", headline=None, needs=None,
           hub="logps_accuracy", foreign=()),
    Metric("ndcg_at_10", "nDCG@10", tasks=_RANKED, lacks=("rated",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="mean", headline=8, needs=None, hub="ndcg_at_10",
           foreign=("cosine_ndcg@10", "ndcg@10", "ndcg")),
    Metric("mrr_at_10", "MRR@10", tasks=_RANKED, lacks=("rated",), higher_is_better=True,
           generates=False, of_loss=False, least=0, most=1, kind="mean", headline=None, needs=None, hub="mrr_at_10",
           foreign=("cosine_mrr@10", "mrr@10", "mrr")),
    Metric("recall_at_1", "recall@1", tasks=_RANKED, lacks=("rated",), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="recall_at_1",
           foreign=("cosine_recall@1", "recall@1")),
    Metric("recall_at_5", "recall@5", tasks=_RANKED, lacks=("rated",), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="recall_at_5",
           foreign=("cosine_recall@5", "recall@5")),
    Metric("recall_at_10", "recall@10", tasks=_RANKED, lacks=("rated",), higher_is_better=True, generates=False,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="recall_at_10",
           foreign=("cosine_recall@10", "recall@10")),
)
"""Every metric that a recipe may name."""
# fmt: on

METRIC_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

CLASS_METRICS = {"precision": "precision", "recall": "recall", "f1": "F1"}
"""What is known of a single class, by the word before ` of `, and its title: `f1 of sport`."""


def split_metric(name: str) -> tuple[str, str | None]:
    """A metric's own name and the class that it is of: `f1 of sport` is `f1` and `sport`."""
    head, of, label = name.partition(" of ")
    return (head, label) if of and head in CLASS_METRICS and label else (name, None)


def metric_named(name: str) -> Metric | None:
    """The card of a metric, that of a single class or of a package included; None where there is none of that name."""
    if package_entry(name):
        return _of_a_package(name)
    head, label = split_metric(name)
    if label is None:
        return METRIC_BY_NAME.get(name)
    return Metric(
        name,
        f"{CLASS_METRICS[head]} of {label}",
        tasks=_CLASSES + _WORDS,
        lacks=(),
        higher_is_better=True,
        generates=False,
        of_loss=False,
        least=0,
        most=1,
        kind="corpus",
        headline=None,
        needs=None,
        hub=head,
        foreign=(),
    )


def _of_a_package(name: str) -> Metric:
    """The card of a package's metric, whose facts are the same for all: a mean over written answers."""
    point = extension_point("metric")
    return Metric(
        name,
        name,
        tasks=_QUESTIONS + _TEXTS,
        lacks=(),
        higher_is_better=True,
        generates=True,
        of_loss=False,
        least=point.least,
        most=point.most,
        kind="mean",
        headline=None,
        needs=None,
        hub=name,
        foreign=(),
    )


def metric_called(word: str, among: Iterable[str]) -> str | None:
    """The metric, among some, that another tool calls by a word; with the Trainer's `eval_` before it or without."""
    plain = word.removeprefix("eval_")
    known = [metric for metric in METRICS if metric.name in set(among)]
    return next((metric.name for metric in known if plain in (metric.name, *metric.foreign)), None)


def needs_of(names: Iterable[str]) -> tuple[Need, ...]:
    """What some metrics need beside ftc's own dependencies, each need once."""
    cards = [metric_named(name) for name in names]
    return tuple(dict.fromkeys(card.needs for card in cards if card is not None and card.needs is not None))
