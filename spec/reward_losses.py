"""Losses of reward models: one card each, with every fact about it.

To add one, write its card here; its formula stands with the scores that it is computed from: of pairs in
`ftc.runtime.tasks.reward`, of numbers in `ftc.runtime.tasks.regression`, of steps in `token_classification` beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["REWARD_LOSSES", "RewardLoss", "RewardLossCard", "reward_loss"]


class RewardLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of a pair, of an answer, or of a step.
        source: The paper.
        rows: What a row is: two answers of which one is preferred, an answer that is rated good or bad, an answer with
            a number, or an answer in steps that are each rated.
        number_loss: The loss of the answer's number, of those of `ftc.spec.number_losses`; None for losses of anything
            else.
    """

    kind: str
    label: str
    formula: str
    source: str
    rows: Literal["pairs", "ratings", "numbers", "steps"]
    number_loss: str | None


REWARD_LOSSES: tuple[RewardLossCard, ...] = (
    RewardLossCard(
        kind="bradley_terry",
        label="Bradley-Terry",
        formula="-log sigmoid(score of the chosen answer - score of the rejected one)",
        source="Bradley & Terry 1952",
        rows="pairs",
        number_loss=None,
    ),
    RewardLossCard(
        kind="binary_cross_entropy",
        label="binary cross entropy",
        formula="-log sigmoid(score) for a good answer, -log sigmoid(-score) for a bad one, so that a score is the log "
        "odds that an answer is good",
        source="Cobbe 2021",
        rows="ratings",
        number_loss="binary_cross_entropy",
    ),
    RewardLossCard(
        kind="mse",
        label="mean squared error",
        formula="(score - the answer's number) squared",
        source="Wang 2023 (HelpSteer)",
        rows="numbers",
        number_loss="mse",
    ),
    RewardLossCard(
        kind="step_cross_entropy",
        label="cross entropy by step",
        formula="-log of the probability that the model gives a step's own label, right or wrong, at the step's end",
        source="Lightman 2023; Wang 2024 (Math-Shepherd)",
        rows="steps",
        number_loss=None,
    ),
)
"""Every loss of reward models, the usual one first."""

_BY_KIND = {card.kind: card for card in REWARD_LOSSES}

if TYPE_CHECKING:
    RewardLoss = str
else:
    RewardLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def reward_loss(kind: str) -> RewardLossCard:
    """The card of a kind that a recipe names."""
    return _BY_KIND[kind]
