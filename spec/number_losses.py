"""Losses of predicted numbers: one card each, with every fact about it.

To add one, write its card here and its formula into `ftc.runtime.tasks.regression`. In the formulas, e is how far a
predicted number is from the target, in standard deviations of the training rows' targets where they are standardized.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["NUMBER_LOSSES", "AnyNumberLoss", "NumberLoss", "NumberLossCard", "number_loss"]


class NumberLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of one number; that of a row is the mean over its numbers.
        least_and_most: Between which losses that of a number lies, from the number that the model predicts, the right
            one, and by how much the first may be rounded; an audit compares a row's loss with its numbers by it.
        takes: What is learned: any numbers, or ratings of 0 and 1, of which the model predicts the log odds.
    """

    kind: str
    label: str
    formula: str
    least_and_most: Callable[[float, float, float], tuple[float, float]]
    takes: Literal["numbers", "ratings"]


def _of_error(loss: Callable[[float], float]) -> Callable[[float, float, float], tuple[float, float]]:
    """Limits of a loss that grows with the distance alone."""

    def limits(predicted: float, right: float, rounding: float) -> tuple[float, float]:
        error = abs(predicted - right)
        return loss(max(0.0, error - rounding)), loss(error + rounding)

    return limits


def _log_odds(score: float, right: float, rounding: float) -> tuple[float, float]:
    """Limits of the cross entropy of a rating of 0 or 1, for which a loss only falls or only rises with the score."""
    ends = [
        max(one, 0.0) + math.log1p(math.exp(-abs(one))) - right * one for one in (score - rounding, score + rounding)
    ]
    return min(ends), max(ends)


NUMBER_LOSSES: tuple[NumberLossCard, ...] = (
    NumberLossCard(
        kind="mse",
        label="mean squared error",
        formula="e squared",
        least_and_most=_of_error(lambda e: e * e),
        takes="numbers",
    ),
    NumberLossCard(
        kind="mae",
        label="mean absolute error",
        formula="|e|",
        least_and_most=_of_error(lambda e: e),
        takes="numbers",
    ),
    NumberLossCard(
        kind="huber",
        label="Huber loss",
        formula="e squared / 2 up to |e| = 1, |e| - 1 / 2 beyond",
        least_and_most=_of_error(lambda e: e * e / 2 if e <= 1 else e - 0.5),
        takes="numbers",
    ),
    NumberLossCard(
        kind="binary_cross_entropy",
        label="binary cross entropy",
        formula="log(1 + exp(output)) - y output, where y is 1 or 0",
        least_and_most=_log_odds,
        takes="ratings",
    ),
)
"""Every loss of numbers, the usual one first."""

_BY_KIND = {card.kind: card for card in NUMBER_LOSSES}

if TYPE_CHECKING:
    NumberLoss = str
    AnyNumberLoss = str
else:
    AnyNumberLoss = Literal[tuple(_BY_KIND)]
    NumberLoss = Literal[tuple(card.kind for card in NUMBER_LOSSES if card.takes == "numbers")]
"""What a recipe may write for numbers, and what a plan may have; the cards decide, so that mypy sees a text and
pydantic the kinds."""


def number_loss(kind: str) -> NumberLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
