"""What each metric of `ftc.spec.metrics` computes, once: as a function of sums over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Protocol, assert_never

import numpy as np

from ftc.runtime.metrics.classes import Decisions, Tags, decision_statistics, first_errors, tag_statistics
from ftc.runtime.metrics.numbers import NUMBERS, Numbers
from ftc.runtime.metrics.statistics import Floats, Statistics, mean_of
from ftc.runtime.metrics.texts import FOUND, WRITTEN, Found, Written, of_a_package
from ftc.runtime.rewards import reward_values, total_reward
from ftc.spec.extension_points import package_entry
from ftc.spec.heads import Answer
from ftc.spec.metrics import metric_named, split_metric
from ftc.spec.rewards import RewardTerm, is_correct
from ftc.spec.tags import entity_types

__all__ = [
    "LOSSES",
    "PAIRS",
    "RANKED",
    "REWARDED",
    "ClassCounts",
    "Pairs",
    "Predictions",
    "Ranked",
    "Rewarded",
    "Scored",
    "class_counts",
    "loss_statistics",
    "of_figures",
    "statistics_of",
]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Preferences: what a model gives both answers.

    Attributes:
        rows: (N, 3) log-probability of the chosen and of the rejected answer, and the margin of their rewards.
    """

    rows: Floats


@dataclass(frozen=True, slots=True)
class Ranked:
    """Queries: at which place the right passage is found.

    Attributes:
        ranks: (N,) counted from 1.
    """

    ranks: Floats


def of_figures(answer: Answer, predicted: Sequence[Sequence[float]]) -> Pairs | Ranked:
    """What a model said of rows of which figures alone are kept: of each pair three, of each query a rank first."""
    if answer == "rank":
        return Ranked(np.array([row[0] for row in predicted], np.float64))
    return Pairs(np.array(predicted, np.float64).reshape(-1, 3))


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Written answers and what they earn.

    Attributes:
        rewards: (N,) weighted sum of each answer's rewards.
        correct: (N,) 1 where an answer is correct, else 0.
    """

    rewards: Floats
    correct: Floats

    @classmethod
    def of(
        cls,
        rewards: Sequence[RewardTerm],
        pairs: Iterable[tuple[str, str]],
        recorded: Iterable[Sequence[float]] = repeat(()),
    ) -> Rewarded:
        """What answers earn by a plan's rewards, each beside its row's reference.

        Args:
            rewards: The plan's.
            pairs: Answer and reference of each row.
            recorded: Of each row the rewards that are asked for once.
        """
        values = [reward_values(rewards, *pair, given) for pair, given in zip(pairs, recorded, strict=False)]
        return cls(
            np.array([total_reward(rewards, one) for one in values], np.float64),
            np.array([is_correct(rewards, one) for one in values], np.float64),
        )


Predictions = Decisions | Numbers | Tags | Written | Found | Pairs | Ranked | Rewarded
"""What rows expect, and what a model said."""

PAIRS: dict[str, Callable[[Floats], Floats]] = {
    "preference_accuracy": lambda rows: (rows[:, 2] > 0).astype(np.float64),
    "reward_margin": lambda rows: rows[:, 2],
    "logps_accuracy": lambda rows: (rows[:, 0] > rows[:, 1]).astype(np.float64),
}
"""Metrics of preferences: the score of each row of `Pairs`.

The first two are TRL's `rewards/accuracies` and `rewards/margins`: a reward is beta times what tuning added to the
log-probability of an answer, so the untuned model's are 0. The third asks which answer is the likelier one, which
favors short answers.
"""


RANKED: dict[str, Callable[[Floats], Floats]] = {
    "ndcg_at_10": lambda ranks: np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0),
    "mrr_at_10": lambda ranks: np.where(ranks <= 10, 1 / ranks, 0.0),
    "recall_at_1": lambda ranks: (ranks <= 1).astype(np.float64),
    "recall_at_5": lambda ranks: (ranks <= 5).astype(np.float64),
    "recall_at_10": lambda ranks: (ranks <= 10).astype(np.float64),
}
"""Metrics of retrieval: the score of each query. A row has one right passage, so the best ranking's nDCG is 1."""

REWARDED: dict[str, Callable[[Rewarded], Floats]] = {
    "mean_reward": lambda one: one.rewards,
    "correct": lambda one: one.correct,
}
"""Metrics of rewarded answers: the score of each row."""


def _loss(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / np.maximum(1.0, sums[..., 1]))


def _perplexity(sums: Floats) -> Floats:
    return np.asarray(np.vectorize(math.exp, otypes=[float])(_loss(sums)))


LOSSES: dict[str, Callable[[Floats], Floats]] = {"loss": _loss, "perplexity": _perplexity}
"""Metrics of the loss: by target (a token that is trained on, or a row's class or numbers), and its exponential."""


class Scored(Protocol):
    """A row with its loss: what a scorer says of it, or what is kept of that."""

    @property
    def loss_sum(self) -> float:
        """Cross entropy in nats, summed over the row's targets."""
        ...

    @property
    def targets(self) -> int:
        """What the loss is summed over."""
        ...


def loss_statistics(name: str, rows: Iterable[Scored]) -> Statistics:
    """A metric of cross entropy."""
    sums = [(row.loss_sum, row.targets) for row in rows]
    return Statistics(np.array(sums, dtype=np.float64).reshape(-1, 2), LOSSES[name])


def statistics_of(name: str, predictions: Predictions) -> Statistics:
    """A metric that isn't one of cross entropy, taken apart into what each row adds.

    Args:
        name: One of `ftc.spec.metrics.METRICS`, or that of a class; it serves such predictions.
        predictions: What rows expect, and what a model said.
    """
    head, label = split_metric(name)
    match predictions:
        case Decisions():
            found = decision_statistics(head, label, predictions)
        case Numbers():
            found = NUMBERS[name](predictions)
        case Tags() if name == "first_error_accuracy":
            found = mean_of(first_errors(predictions))
        case Tags():
            return tag_statistics(head, label, predictions)  # a row has many words: no share is one of the rows
        case Written():
            found = of_a_package(name, predictions) if package_entry(name) else WRITTEN[name](predictions)
        case Found():
            found = of_a_package(name, predictions) if package_entry(name) else FOUND[name](predictions)
        case Pairs():
            found = mean_of(PAIRS[name](predictions.rows).tolist())
        case Ranked():
            found = mean_of(RANKED[name](predictions.ranks).tolist())
        case Rewarded():
            found = mean_of(REWARDED[name](predictions).tolist())
        case _:
            assert_never(predictions)
    metric = metric_named(name)
    assert metric is not None, "a plan names metrics that are known"
    return replace(found, shares=found.rows[:, :1]) if metric.is_share else found


ClassCounts = Mapping[str, tuple[int, int]]
"""By class, or type of entity: how often it is expected, and how often it is predicted."""


def class_counts(labels: Sequence[str], predictions: Predictions) -> ClassCounts:
    """Counts of each class; of tags those of entities, and empty for predictions without classes."""
    match predictions:
        case Decisions():
            found, counts = {name: name for name in labels}, predictions.counts(predictions.rows.sum(axis=0))
        case Tags():
            words = predictions.words()
            found, counts = entity_types(labels), words.counts(words.rows.sum(axis=0))
            predictions = words
        case Numbers() | Written() | Found() | Pairs() | Ranked() | Rewarded():
            return {}
        case _:
            assert_never(predictions)
    sums: dict[str, tuple[int, int]] = {}
    for name, expected, predicted in zip(predictions.names, counts.expected, counts.predicted, strict=True):
        if kind := found.get(name):
            before = sums.get(kind, (0, 0))
            sums[kind] = before[0] + int(expected), before[1] + int(predicted)
    return sums
