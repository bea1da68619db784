"""How the scores of an answer's steps become one score: one card each, with its formula.

A process reward model says of each step how likely it is right, between 0 and 1. Papers take the worst step
(Wang 2024, Math-Shepherd), the product (Lightman 2023) or the last step (Snell 2024). To add a way, write its card
here; no other file names a member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["STEP_AGGREGATES", "StepAggregate", "StepAggregateCard", "aggregate_card", "steps_of"]


class StepAggregateCard(NamedTuple):
    """One way.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        of: The score of an answer from those of its steps, of which there is at least one.
    """

    kind: str
    label: str
    of: Callable[[Sequence[float]], float]


STEP_AGGREGATES: tuple[StepAggregateCard, ...] = (
    StepAggregateCard(kind="min", label="the worst step", of=min),
    StepAggregateCard(kind="mean", label="the mean of the steps", of=fmean),
    StepAggregateCard(kind="product", label="the chance that every step is right", of=math.prod),
    StepAggregateCard(kind="last", label="the last step", of=lambda scores: scores[-1]),
)
"""Every way, the usual one first."""

_BY_KIND = {card.kind: card for card in STEP_AGGREGATES}

if TYPE_CHECKING:
    StepAggregate = str
else:
    StepAggregate = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def aggregate_card(kind: str) -> StepAggregateCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]


def steps_of(answer: str, separator: str) -> list[str]:
    """The steps of an answer: what stands between separators, without blanks; empty for an answer of nothing else."""
    return [step for step in answer.split(separator) if step.strip()]
