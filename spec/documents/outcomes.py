"""What measuring gives beside the record: each row's outcomes, figures by name, and what the harness and people say."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import Evaluation, Gain, GateResult, Interval
from ftc.spec.documents.slices import measured
from ftc.spec.metrics import metric_named
from ftc.spec.sections.evaluation import Gate

__all__ = [
    "CHOICES",
    "CONFIDENCE_BINS",
    "NO_ANSWER",
    "OTHER_LABEL",
    "Agreement",
    "Choice",
    "Figure",
    "Given",
    "HarnessMetric",
    "HarnessReport",
    "Outcome",
    "Rating",
    "Said",
    "Tally",
    "WinRate",
    "as_label",
    "best_prompted",
    "by_loss",
    "confidence_bin",
    "figures",
    "gate_results",
    "plain_name",
]

OTHER_LABEL = "(no class)"
"""What stands for every answer that is none of the classes, where a model writes its label."""


def as_label(text: str, labels: Collection[str]) -> str:
    """The class that an answer names, with or without space around it; else `OTHER_LABEL`."""
    return next((name for name in (text, text.strip()) if name in labels), OTHER_LABEL)


NO_ANSWER = "(no answer)"
"""What stands for an answer that isn't there."""
CONFIDENCE_BINS = 15
"""Intervals in which confidence is held against the share of rows that are right: the number of Guo et al. 2017."""


def confidence_bin(confidence: float) -> int:
    """Number of the interval that a probability lies in, from 0; each is without its lower end."""
    return max(0, math.ceil(confidence * CONFIDENCE_BINS) - 1)


class Said(SparseDocument):
    """What one model made of a row."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("reward",)

    text: str | None
    """Its answer or class; None where the task has neither."""
    loss_sum: Real
    """Loss (cross entropy in nats, or that of a regression), summed over the row's targets."""
    targets: int
    """What the loss is summed over: supervised tokens, or one for a class."""
    confidence: Real | None = None
    """Probability of the class that it chose; None where no class is chosen."""
    predicted: tuple[Real, ...] = ()
    """Numbers of the classes or tags that it chose, or those that it predicted; of a pair the log-probabilities of both
    answers, and the margin; of a query the rank of its passage, and how similar the two are, or the score of each
    text that was ranked."""

    reward: Real | None = None
    """What the evaluation's reward model makes of the answer; absent where none scores any."""

    @property
    def loss(self) -> float:
        """The loss of a target."""
        return self.loss_sum / max(1, self.targets)


Given = tuple[int, str, tuple[str, ...]]
"""A test row: its number in the source, and prompt and images that the model was given."""


class Outcome(SparseDocument):
    """One row of the test split, a line of `predictions.ndjson`."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("images", "prompted")

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`; empty in runs of earlier releases."""
    prompt: str
    """What the models were given."""
    images: tuple[str, ...] = ()
    """sha256 of each image that they were given beside it; absent where there is none."""
    expected: str | None
    """The row's own answer or class; None where the task has neither."""
    targets: tuple[int, ...] = ()
    """Numbers of the right classes or tags, where a row has several."""
    right: tuple[str, ...] = ()
    """All right answers, where a question may have several; the right numbers, where a row has such."""
    slices: dict[str, str] = Field(default_factory=dict)
    """Values of the columns that results are told apart by."""
    base: Said | None
    tuned: Said
    prompted: dict[str, Said] = Field(default_factory=dict)
    """What the base said to each other prompt, by the baseline's name; absent where there is none."""

    @property
    def given(self) -> Given:
        """Which row it is, also beside those of other runs: the same number is another row of other data."""
        return self.row, self.prompt, self.images


def by_loss(outcomes: Sequence[Outcome], samples: int) -> tuple[list[Outcome], list[Outcome]]:
    """The rows with the highest loss of the tuned model, worst first, and those with the lowest, best first.

    Args:
        outcomes: All rows.
        samples: Rows of each kind at most; none is of both.
    """
    ranked = sorted(outcomes, key=lambda one: (-one.tuned.loss, one.row))
    limit = min(samples, len(ranked) // 2)
    return ranked[:limit], ranked[::-1][:limit]


Figure = tuple[float, Interval | None]
"""A value and its interval; None where the rows can't tell."""


def figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Metrics of the tuned model, of groups and gaps between them, and what was measured beside them."""
    tuned = evaluation.tuned
    found: dict[str, Figure] = {name: (value, tuned.intervals.get(name)) for name, value in tuned.metrics.items()}
    found |= dict(_of_slices(evaluation))
    if evaluation.retention is not None:
        gain = evaluation.retention.forgetting
        found["forgetting"] = (gain.value, gain.interval)
    if evaluation.swaps is not None:
        found["swapped"] = (evaluation.swaps.share, evaluation.swaps.interval)
    if evaluation.judge is not None and evaluation.judge.tuned is not None:
        found["judge"] = (evaluation.judge.tuned, evaluation.judge.interval)
    if evaluation.classifier is not None:
        found["flagged"] = (evaluation.classifier.tuned, evaluation.classifier.interval)
    if evaluation.reward_model is not None:
        found["reward_model"] = (evaluation.reward_model.tuned, evaluation.reward_model.interval)
    return found


def best_prompted(metrics: Sequence[str], evaluation: Evaluation) -> tuple[str, PromptedResult] | None:
    """The first metric that all have, and the prompt with the best value of it; None where no prompt was measured.

    Args:
        metrics: The plan's metrics, in its order.
        evaluation: The figures.
    """
    for name in metrics:
        found = [one for one in evaluation.prompted if name in one.metrics]
        if found:
            card = metric_named(name)
            sign = 1 if card is None or card.higher_is_better else -1
            return name, max(found, key=lambda one: sign * one.metrics[name])
    return None


def gate_results(evaluation: Evaluation, gates: Mapping[str, Gate]) -> tuple[GateResult, ...]:
    """Every gate, passed or failed; what can't be measured fails its gate."""
    known, found = figures(evaluation), []
    for name, gate in sorted(gates.items()):
        value, interval = known.get(plain_name(name)) or (None, None)
        bound, passed = f"{gate.comparison} {gate.bound:g}", value is not None and gate.holds(value)
        found.append(GateResult(metric=name, bound=bound, value=value, interval=interval, passed=passed))
    return tuple(found)


def plain_name(name: str) -> str:
    """A gate's name in the one spelling that `figures` has, whatever the spaces in it."""
    about = measured(name)
    if about.slice is None:
        return name
    return _gap(about.metric, about.slice) if about.group is None else _group(about.metric, about.slice, about.group)


def _of_slices(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    for one in evaluation.slices:
        yield from ((_gap(name, one.slice), (gap.value, gap.interval)) for name, gap in one.gaps.items())
        for group in one.groups:
            for name, value in group.tuned.items():
                yield _group(name, one.slice, group.group), (value, group.intervals.get(name))


def _gap(metric: str, of: str) -> str:
    return f"{metric} gap on {of}"


def _group(metric: str, of: str, group: str) -> str:
    return f"{metric} on {of} = {group}"


class HarnessMetric(Document):
    """One metric of one task, by the harness's own names and figures."""

    task: str
    metric: str
    filter: str
    """What the harness does to answers before it measures; `none` for nothing."""
    rows: int
    higher_is_better: bool | None
    """None where the task doesn't say."""
    base: Real
    base_error: Real | None
    """The harness's standard error; None where it gives none."""
    tuned: Real
    tuned_error: Real | None
    gain: Gain
    """Its interval is paired, over the task's rows; none where the metric is no mean of its rows."""


class HarnessReport(Document):
    """The answer of `ftc run eval RUN --harness TASKS`; nothing of it is written into the run's folder."""

    schema_: Literal["ftc.harness/1"] = Field(default="ftc.harness/1", alias="schema")
    run: str
    lm_eval: str
    """Version of the library."""
    versions: dict[str, str]
    """Of each task, as it says itself."""
    limit: int | None
    """Rows of a task at most; None for all."""
    metrics: tuple[HarnessMetric, ...]


Choice = Literal["first", "second", "tie", "bad"]
"""Which of two contestants is better, or neither (equally good, both bad); sides don't count."""
CHOICES: tuple[Choice, ...] = ("first", "second", "tie", "bad")


class Rating(Document):
    """One decision, a line of a rater's file. A later one on the same row takes the place of an earlier one."""

    schema_: Literal["ftc.rating/1"] = Field(default="ftc.rating/1", alias="schema")
    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`; empty in runs of earlier releases."""
    choice: Choice | None
    """None takes back what was said of the row."""
    left: Literal["first", "second"]
    """Who stood on the left."""
    at: str
    """UTC, ISO 8601."""


class WinRate(Document):
    """How often the second contestant was preferred; rows where neither is better count half."""

    rate: Real
    low: Real | None
    high: Real | None
    """Bounds of the 95 % interval over rows; None where the rows can't tell."""
    wins: int
    losses: int
    ties: int
    both_bad: int = 0


class Agreement(Document):
    """Two raters on the rows that both rated."""

    raters: tuple[str, str]
    rows: int
    same: int
    """Rows of which both say the same."""
    kappa: Real | None
    """Cohen's kappa: agreement beyond chance, 1 at most; None where chance alone would always agree."""


class Tally(Document):
    """What all raters said."""

    schema_: Literal["ftc.rating-tally/1"] = Field(default="ftc.rating-tally/1", alias="schema")
    first: str
    second: str
    """Names of the contestants."""
    rows: int
    """Rows that can be rated."""
    same: int
    """Rows that nobody has to rate: both gave the same answer."""
    rated: int
    """Rows that somebody rated."""
    overall: WinRate | None
    """None where nothing is rated."""
    raters: dict[str, WinRate]
    left_chosen: int
    """Decisions for whoever stood on the left, of `decided`; far from half, the place decides and not the answer."""
    decided: int
    """Decisions for one of the two."""
    agreement: tuple[Agreement, ...]
