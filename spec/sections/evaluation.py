"""How the result is measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from ftc.spec.base import Document, Effect, Real
from ftc.spec.documents.slices import measured
from ftc.spec.heads import head_card
from ftc.spec.metrics import METRIC_BY_NAME, METRICS, Need, Trait, metric_named, needs_of
from ftc.spec.tasks import Task

__all__ = [
    "Bound",
    "Classifier",
    "Eval",
    "Gate",
    "Judge",
    "Retention",
    "SimpleBaseline",
    "Swaps",
    "has_entities",
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


def has_entities(labels: Sequence[str]) -> bool:
    """Whether the tags of words are those of entities, which begin and go on, or stand for themselves."""
    return all(tag == "O" or tag[:2] in ("B-", "I-") for tag in labels)


def is_metric_for(task: Task, name: str) -> bool:
    """Whether a task can be measured by a metric. Whether the class is one of the data's, only its labels tell."""
    metric = metric_named(name)
    return metric is not None and metric.serves(task.kind, traits_of(task))


def writes_labels(task: Task) -> bool:
    """Whether classes are written, so that their metrics need written answers as well."""
    return all(mode.writes_labels for mode in task.modes())


def watched_metrics(task: Task) -> tuple[str, ...]:
    """Names of what validation computes and early stopping can watch, `val_loss` first: no written answers are needed
    for them, and more is better.
    """
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
    """Where it stands in the recipe."""


def parse_gate(text: str) -> Gate | None:
    """The gate in a text such as `>= 0.95`, or None if it is none."""
    match = _GATE.fullmatch(text)
    return Gate.model_construct(comparison=match[1], bound=float(match[2])) if match else None


class Retention(Document):
    """General text that a language model should still know after it was tuned."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    path: str = Field(min_length=1)
    """File of rows with text, relative to the recipe's folder."""
    text: str = Field(default="text", min_length=1)
    """Column that holds the text. Default: `text`, the usual name."""


class Swaps(Document):
    """Phrases that are exchanged in test rows, to see which predictions hang on them."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    path: str = Field(min_length=1)
    """Table with the columns `from` and `to`, relative to the recipe's folder: `he` and `she`, for example. Whole words
    are looked for as they are written."""


class Judge(Document):
    """A language model behind an endpoint that grades answers from 1 to 10. Test rows and answers are sent to it."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    url: str = Field(pattern=r"^https?://[^\s@?#]+$", max_length=500)
    """Where an OpenAI-compatible service lies, up to `/v1`; `/chat/completions` is added."""
    model: str = Field(min_length=1, max_length=200)
    """What the service calls the model."""
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)
    """Environment variable that holds the service's key; the key itself belongs in no file. Default: none, as for a
    service on this machine."""
    criterion: str = Field(default="Judge how well the answer does what the prompt asks for.", max_length=2_000)
    """What counts, in a sentence or two that the judge reads. Default: how well the answer does what is asked."""
    max_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Longest reply that the service may write, in tokens (`max_tokens` of its protocol). A grade takes few; what a
    judge thinks before it counts as well. Default: 1024, since no reply should cost without bound."""

    @property
    def host(self) -> str:
        """Machine that is asked, without port; an IPv6 address keeps its brackets."""
        place = self.url.split("//", 1)[1].split("/")[0]
        return place[: place.index("]") + 1] if place.startswith("[") and "]" in place else place.split(":")[0]


class Classifier(Document):
    """A text classifier that says which written answers have one of its labels: `toxic`, or `refusal`."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    base: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id, of a model with a `...ForSequenceClassification` head in safetensors
    form. It runs on the run's device; the lock keeps the digests of its files."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock keeps the commit that it stood at."""
    label: str = Field(min_length=1, max_length=200)
    """Label whose share of the answers is told, as `id2label` in the classifier's config.json spells it."""


class Eval(Document):
    """How the tuned model is measured, on the test split, at the very end."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    metrics: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = "auto"
    """Names of metrics. Default `auto`: accuracy and macro F1 for a classification, micro and macro F1 where a row has
    several labels, entity F1 for words, exact match and answer F1 for questions, ROUGE for summaries, exact match and
    ROUGE-L for a generation, preference accuracy, reward margin and log-probability accuracy for preferences (how often
    and by how much tuning raised the chosen answer more than the rejected one, as TRL's `rewards/accuracies` and
    `rewards/margins`, so the untuned model's are 0; and how often the chosen answer is the likelier one), perplexity
    for a chat and for pretraining. `f1 of sport` is that of one class or type of entity, as are `precision of` and
    `recall of`. `meteor`, for English, needs the extra `meteor` and WordNet's data, which is looked for where nltk
    looks and in Debian's place; each line of an answer counts as a sentence."""
    baseline: bool = True
    """Whether the untouched base model is measured too, by the same code. Default: yes; without it no gain is known."""
    simple_baselines: Literal["auto", "none"] | Annotated[tuple[SimpleBaseline, ...], Field(min_length=1)] = "auto"
    """Simple models that are fitted on the training rows in seconds and evaluated on the same test rows: a fine-tuned
    model should beat them. `majority`: the most frequent label; `tfidf`: logistic regression over TF-IDF weights of
    the tokenizer's tokens and token pairs, by scikit-learn; `nearest`: the label of the most similar training row.
    Default `auto`: all three for a classification, none for other tasks."""
    gates: dict[str, str] | tuple[str, ...] = Field(default_factory=dict)
    """Bounds by metric, such as `{macro_f1: ">= 0.95"}`, or a list of such as `f1 of sport >= 0.9`, where the names
    have more than one word; a broken one makes `apply` exit with 7. Default: none, since what is good enough depends on
    the use."""
    slices: tuple[str, ...] = ()
    """What results are told apart by: columns of the data, `length` (the shortest third of the rows, the middle and the
    longest) and `label` (the expected class). Each group gets its own metrics, and the largest gap is told; gates such
    as `accuracy on region = north >= 0.8` or `accuracy gap on region <= 0.1` hold for them. Default: none, since only
    the user knows which groups matter."""
    retention: Retention | None = None
    """General text that base and tuned model are measured on as well. What a token of it costs more after tuning, in
    nats, is the forgetting; a gate such as `forgetting <= 0.1` holds for it. Default: none, since no text is general
    for every use."""
    swaps: Swaps | None = None
    """Phrases that are exchanged in test rows. The share of predictions that change is told, overall and by pair, of
    the base beside it; a gate such as `swapped <= 0.05` holds for the tuned model's. Default: none, since only the user
    knows what should make no difference."""
    judge: Judge | None = None
    """A language model that grades written answers, base and tuned; a gate such as `judge >= 7` holds for the mean.
    Default: none, since it sends test rows to a service."""
    classifier: Classifier | None = None
    """A text classifier that looks at written answers, base and tuned; the share that has its label is told, and a gate
    such as `flagged <= 0.01` holds for it. Default: none, since only the user knows what answers should not be."""
    max_new_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Longest answer that is generated, in tokens. Default `auto`: the longest answer of the training rows plus a
    quarter."""
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows that are evaluated at once. Default `auto`: what fits the budget, up to 32, and never more than
    there are."""
    samples: int = Field(default=8, ge=0, le=1000)
    """Predictions that the report shows. Default: 8, which fit on a screen."""

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
