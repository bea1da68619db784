"""Losses of predicted numbers: one card each, with every fact about it.

To add one, write its card here and its formula into `ftc.runtime.tasks.regression`. In the formulas, e is how far a
predicted number is from the target, in standard deviations of the training rows' targets where they are standardized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

__all__ = ["NUMBER_LOSSES", "NumberLoss", "NumberLossCard", "number_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLossCard:
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of one number; that of a row is the mean over its numbers.
        of_error: The same as a function of |e|, by which an audit compares a row's loss with its numbers.
    """

    kind: str
    label: str
    formula: str
    of_error: Callable[[float], float]


NUMBER_LOSSES: tuple[NumberLossCard, ...] = (
    NumberLossCard(kind="mse", label="mean squared error", formula="e squared", of_error=lambda e: e * e),
    NumberLossCard(kind="mae", label="mean absolute error", formula="|e|", of_error=lambda e: e),
    NumberLossCard(
        kind="huber",
        label="Huber loss",
        formula="e squared / 2 up to |e| = 1, |e| - 1 / 2 beyond",
        of_error=lambda e: e * e / 2 if e <= 1 else e - 0.5,
    ),
)
"""Every loss of numbers, the usual one first."""

_BY_KIND = {card.kind: card for card in NUMBER_LOSSES}

if TYPE_CHECKING:
    NumberLoss = str
else:
    NumberLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def number_loss(kind: str) -> NumberLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
