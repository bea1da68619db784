"""How the model is evaluated."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from ftc.spec.base import Document, Effect, Real, SparseDocument
from ftc.spec.documents.slices import measured
from ftc.spec.heads import head_card
from ftc.spec.judges import Judge
from ftc.spec.metrics import METRIC_BY_NAME, METRICS, Need, Trait, metric_named, needs_of
from ftc.spec.step_scores import StepAggregate
from ftc.spec.tasks import Task

__all__ = [
    "Bound",
    "Classifier",
    "Eval",
    "FewShot",
    "Gate",
    "Judge",
    "Retention",
    "RewardModel",
    "SimpleBaseline",
    "Swaps",
    "is_metric_for",
    "metrics_for",
    "parse_gate",
    "traits_of",
    "watched_metrics",
    "writes_labels",
]

SimpleBaseline = Literal["majority", "tfidf", "nearest"]
"""`majority`: the most frequent label of the training rows. `tfidf`: logistic regression over TF-IDF weights of tokens
and token pairs. `nearest`: the label of the training row with the most similar TF-IDF weights."""
_GATE = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*")
_BOUND = re.compile(r"\s*(\S[^<>]*?)\s*((?:>=|<=|>|<)[^<>]*)")


def traits_of(task: Task) -> tuple[Trait, ...]:
    """What a task's labels are, which decides what they can be measured by; empty for a task without labels."""
    return task.modes()[0].traits


def metrics_for(task: Task) -> tuple[str, ...]:
    """Names of the metrics that a task can be measured by."""
    traits = traits_of(task)
    return tuple(metric.name for metric in METRICS if metric.serves(task.kind, traits))


def is_metric_for(task: Task, name: str) -> bool:
    """Whether a task can be measured by a metric. Whether the class exists depends on the data's labels."""
    metric = metric_named(name)
    return metric is not None and metric.serves(task.kind, traits_of(task))


def writes_labels(task: Task) -> bool:
    """Whether classes are written, so that their metrics need written answers as well."""
    return all(mode.writes_labels for mode in task.modes())


def watched_metrics(task: Task) -> tuple[str, ...]:
    """Names of what validation computes and early stopping can watch, `val_loss` first: no written answers are needed
    for them, and more is better.
    """
    if task.sampling is not None:  # answers are all that there is to measure
        return tuple(f"val_{name}" for name in metrics_for(task))
    if writes_labels(task):
        return ("val_loss",)
    is_cut_out = all(head_card(mode.head).is_new for mode in task.modes())
    known = [METRIC_BY_NAME[name] for name in metrics_for(task)]
    watched = [metric for metric in known if metric.higher_is_better and (is_cut_out or not metric.generates)]
    return ("val_loss", *(f"val_{metric.name}" for metric in watched))


class Gate(Document):
    """A bound that a metric must keep."""

    comparison: Literal[">=", "<=", ">", "<"]
    bound: Real

    def holds(self, value: float) -> bool:
        """Whether a measured value keeps the bound."""
        match self.comparison:
            case ">=":
                return value >= self.bound
            case "<=":
                return value <= self.bound
            case ">":
                return value > self.bound
            case "<":
                return value < self.bound


class Bound(NamedTuple):
    """A gate as it is written."""

    name: str
    """What is measured: a metric, or that of a class."""
    text: str
    """Comparison and number; empty where a line has none."""
    path: str
    """Its path in the recipe."""


def parse_gate(text: str) -> Gate | None:
    """The gate in a text such as `>= 0.95`, or None if it is none."""
    match = _GATE.fullmatch(text)
    return Gate.model_construct(comparison=match[1], bound=float(match[2])) if match else None


class FewShot(Document):
    """The base model with worked examples in its prompt."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    few_shot: int = Field(ge=1, le=64)
    """Examples before each row's prompt: training rows with their answers, evenly over the classes where
    there are any. They are the same for all rows, as in an application that has one prompt."""
    seed: int = Field(default=17, ge=0, le=2**31 - 1)
    """Seed of the draw. Default: 17, the usual seed; another one shows how much depends on the examples."""


class Retention(Document):
    """General text for the forgetting check."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    path: str = Field(min_length=1)
    """File of rows with text, relative to the recipe's folder."""
    text: str = Field(default="text", min_length=1)
    """Column that holds the text. Default: `text`, the usual name."""


class Swaps(Document):
    """Counterfactual substitution test: phrases that are replaced in test rows, to see which predictions depend on
    them.
    """

    EFFECT: ClassVar[Effect] = Effect.EVAL

    path: str = Field(min_length=1)
    """Table with the columns `from` and `to`, relative to the recipe's folder: `he` and `she`, for example. Whole
    words are replaced, case-sensitively."""


class Classifier(Document):
    """A text classifier that counts generated answers with one of its labels, such as `toxic` or `refusal`."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    base: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id, of a model with a `...ForSequenceClassification` head in safetensors
    format. It runs on the run's device; the lock pins its files by digest."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock pins its commit."""
    label: str = Field(min_length=1, max_length=200)
    """Label whose share of the answers is reported, as spelled in `id2label` of the classifier's config.json."""


class RewardModel(SparseDocument):
    """A reward model that scores generated answers, on its own scale."""

    EFFECT: ClassVar[Effect] = Effect.EVAL
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("aggregate",)

    base: str = Field(min_length=1, max_length=300)
    """`run:NAME`: a finished run of `task: {kind: reward}` in this project; an adapter has to be merged first (`ftc run
    merge`). Else a folder relative to the recipe, or a hub id, of a model with a `...ForSequenceClassification` head of
    one output in safetensors format. It runs on the run's device; the lock pins its files by digest."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock pins its commit."""
    aggregate: StepAggregate | None = None
    """How one score comes from the steps of an answer, where the model is a process reward model (a run of `loss:
    step_cross_entropy`), which scores each between 0 and 1. `min`: the worst step. `mean`: the mean. `product`: the
    chance that every step is right. `last`: the last step. Default: `min`, because an answer is as good as its worst
    step, and a product favors answers of fewer steps; a model that scores whole answers has none."""


class Eval(SparseDocument):
    """How the tuned model is evaluated, on the test split, at the very end."""

    EFFECT: ClassVar[Effect] = Effect.EVAL
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("baselines", "reward_model")

    metrics: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = "auto"
    """Names of metrics. Default `auto`: accuracy and macro F1 for a classification, micro and macro F1 where a row
    has several labels, mean absolute error, root mean squared error, R squared and the correlations of Pearson and
    Spearman for a regression (means over its numbers), entity F1 for words, exact match and answer F1 for
    questions, ROUGE for summaries, exact match and ROUGE-L for a generation, preference accuracy, reward margin and
    log-probability accuracy for preferences (how often and by how much tuning raised the chosen answer more than
    the rejected one, as TRL's `rewards/accuracies` and `rewards/margins`, so the untuned model's are 0; and how
    often the chosen answer is the likelier one), preference accuracy and reward margin of the scores for a reward
    model (of ratings rating accuracy and Spearman's correlation, of numbers those of a regression, of steps the
    accuracy by step and that of the first wrong step), mean reward and share correct for reinforcement, nDCG@10, MRR@10
    and recall for an embedding (of the right passage among all different passages of the test rows), or the
    correlations of cosine similarity and score, perplexity for a chat and for pretraining. `f1 of sport` is that of one
    class or type of entity, as are `precision of` and `recall of`. `meteor`, for English, needs the extra `meteor` and
    WordNet's data, which ftc searches where nltk does and where Debian installs it; each line of an answer counts as a
    sentence."""
    baseline: bool = True
    """Evaluate the base model too, with the same code. Default: yes; without it the gain is unknown."""
    simple_baselines: Literal["auto", "none"] | Annotated[tuple[SimpleBaseline, ...], Field(min_length=1)] = "auto"
    """Simple models that are fitted on the training rows in seconds and evaluated on the same test rows: a fine-tuned
    model should beat them. `majority`: the most frequent label; `tfidf`: logistic regression over TF-IDF weights of
    the tokenizer's tokens and token pairs, by scikit-learn; `nearest`: the label of the most similar training row.
    Default `auto`: all three for a classification, none for other tasks."""
    baselines: tuple[Literal["zero_shot"] | FewShot, ...] = Field(default=(), max_length=8)
    """Prompts for the untouched base model, as in `[zero_shot, few_shot: 4]`: what it answers to them is measured on
    the same test rows as the tuned model, so that the report can say whether tuning was worth its cost. `zero_shot` is
    the recipe's own prompt, with the labels listed; `few_shot` puts examples of training rows before it, in a chat
    whole conversations. For tasks whose answers follow a prompt or a turn; a new head is no part of the base, which is
    prompted where `task.mode` is `generative`. Default: none, because each takes another pass over the test rows."""
    gates: dict[str, str] | tuple[str, ...] = Field(default_factory=dict)
    """Limits per metric, such as `{macro_f1: ">= 0.95"}`, or a list of limits such as `f1 of sport >= 0.9` for names
    of more than one word; if a gate fails, `apply` exits with 7. Default: none, because what is good enough depends
    on the use."""
    slices: tuple[str, ...] = ()
    """Groups of test rows that get their own metrics: columns of the data, `length` (shortest, middle and longest
    third of the rows), `label` (the true class) and, for a run that begins from another one, `earlier_test` (rows that
    were test rows there, and new ones). The largest gap between groups is reported; gates such as
    `accuracy on region = north >= 0.8` or `accuracy gap on region <= 0.1` apply to them. Default: none, because
    only you know which groups matter."""
    retention: Retention | None = None
    """Forgetting check: general text on which the loss of the base and tuned model is compared. Forgetting is the
    increase of the loss in nats per token; a gate such as `forgetting <= 0.1` applies to it. Default: none, because
    no text is general for every use."""
    swaps: Swaps | None = None
    """Counterfactual substitution test: phrases that are replaced in test rows. The share of predictions that change
    is reported, overall and by pair, for the base and the tuned model; a gate such as `swapped <= 0.05` applies to
    the tuned model. Default: none, because only you know what should make no difference."""
    judge: Judge | None = None
    """A language model that grades generated answers of the base and the tuned model; a gate such as `judge >= 7`
    applies to the mean. Default: none, because it sends test rows to a service."""
    classifier: Classifier | None = None
    """A text classifier that rates generated answers of the base and the tuned model; the share with its label is
    reported, and a gate such as `flagged <= 0.01` applies to it. Default: none, because only you know what answers
    must not be."""
    reward_model: RewardModel | None = None
    """A reward model that scores generated answers of the base and the tuned model; the mean score is reported, and a
    gate such as `reward_model >= 0` applies to it. Scores of a model that was trained on pairs mean nothing by
    themselves: compare them, base with tuned. Default: none, because only you know whose preferences count."""
    max_new_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Maximum number of generated tokens per answer. Default `auto`: the longest answer of the training rows plus a
    quarter, or `task.max_new_tokens` where the task samples answers."""
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows per forward pass during evaluation. Default `auto`: what fits the budget, up to 32."""
    samples: int = Field(default=8, ge=0, le=1000)
    """Number of predictions in the report. Default: 8, which fit on a screen."""

    def named(self) -> tuple[tuple[str, str], ...]:
        """The metrics that the recipe itself names, in metrics and gates, each with its place."""
        metrics = () if self.metrics == "auto" else self.metrics
        listed = ((name, f"eval.metrics[{number}]") for number, name in enumerate(metrics))
        return (*listed, *((measured(bound.name).metric, bound.path) for bound in self.bounds()))

    def needs(self) -> tuple[Need, ...]:
        """What these metrics need beside ftc's own dependencies."""
        return needs_of(name for name, _ in self.named())

    def bounds(self) -> tuple[Bound, ...]:
        """The gates in either form, in their order."""
        if isinstance(self.gates, dict):
            return tuple(Bound(name, text, f"eval.gates.{name}") for name, text in self.gates.items())
        return tuple(_bound_in(line, f"eval.gates[{number}]") for number, line in enumerate(self.gates))


def _bound_in(line: str, path: str) -> Bound:
    match = _BOUND.fullmatch(line)
    return Bound(match[1], match[2], path) if match else Bound(line.strip(), "", path)
