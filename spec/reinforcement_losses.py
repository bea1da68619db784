"""Losses of reinforcement learning over groups of sampled answers: one card each, with every fact about it.

To add one, write its card here. Its advantage and its denominator are among those that `ftc.runtime.rewards.advantages`
computes; rules, passes, importers and docs ask the cards, and no other file names a member.

G answers are sampled for each prompt. Answer i has reward r_i, n_i tokens (its end included) and the advantage A_i. A
step's loss is the sum over its answers and their tokens of -A_i log p(token) (plus `beta` times the divergence from
the base model), divided as the card says. Each step trains once on answers of the model as it is, so that the ratio of
the paper's formulas is 1 and nothing is clipped; its gradient is the one that the formula has there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["REINFORCEMENT_LOSSES", "ReinforcementLoss", "ReinforcementLossCard", "reinforcement_loss"]

Baseline = Literal["group", "others"]
"""What is subtracted from a reward: the mean of its group, or that of the group's other answers."""
Denominator = Literal["own tokens", "longest answer", "all tokens", "answers"]
"""What a token's loss is divided by: the tokens of its answer times the answers, the most tokens that an answer may
have times the answers, the tokens of all answers, or the answers."""


class ReinforcementLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Advantage and denominator, for people.
        source: The paper.
        baseline: What is subtracted from a reward.
        divides_by_spread: Whether the difference is divided by the standard deviation of the group's rewards.
        denominator: What a token's loss is divided by.
        reads: Keys of the recipe's task that it knows, beside those that all know.
        foreign: What TRL (`loss_type`) and others call it.
    """

    kind: str
    label: str
    formula: str
    source: str
    baseline: Baseline
    divides_by_spread: bool
    denominator: Denominator
    reads: tuple[str, ...]
    foreign: tuple[str, ...]


REINFORCEMENT_LOSSES: tuple[ReinforcementLossCard, ...] = (
    ReinforcementLossCard(
        kind="grpo",
        label="GRPO",
        formula="A = (r - mean) / (standard deviation + 1e-4), averaged over each answer's tokens, then over answers",
        source="Shao 2024 (DeepSeekMath)",
        baseline="group",
        divides_by_spread=True,
        denominator="own tokens",
        reads=("beta",),
        foreign=("grpo",),
    ),
    ReinforcementLossCard(
        kind="dr_grpo",
        label="Dr. GRPO",
        formula="A = r - mean, summed over tokens and divided by `max_new_tokens` and the number of answers",
        source="Liu 2025",
        baseline="group",
        divides_by_spread=False,
        denominator="longest answer",
        reads=("beta",),
        foreign=("dr_grpo",),
    ),
    ReinforcementLossCard(
        kind="dapo",
        label="DAPO",
        formula="A = (r - mean) / (standard deviation + 1e-4), averaged over the tokens of all answers",
        source="Yu 2025; its normalization, without dynamic sampling",
        baseline="group",
        divides_by_spread=True,
        denominator="all tokens",
        reads=("beta",),
        foreign=("dapo",),
    ),
    ReinforcementLossCard(
        kind="rloo",
        label="RLOO",
        formula="A = r - mean of the other answers, summed over an answer's tokens, averaged over answers",
        source="Ahmadian 2024",
        baseline="others",
        divides_by_spread=False,
        denominator="answers",
        reads=(),
        foreign=("rloo",),
    ),
)
"""Every loss, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in REINFORCEMENT_LOSSES}

if TYPE_CHECKING:
    ReinforcementLoss = str
else:
    ReinforcementLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def reinforcement_loss(kind: str) -> ReinforcementLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
