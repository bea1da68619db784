"""How rewards of a group of answers become what the loss multiplies log-probabilities by; the formulas of the cards."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import assert_never

from ftc.spec.reinforcement_losses import ReinforcementLossCard

__all__ = ["advantages", "token_weights"]

_LEAST_SPREAD = 1e-4
"""Added to the standard deviation, as in TRL."""


def advantages(card: ReinforcementLossCard, rewards: Sequence[float]) -> list[float]:
    """The advantage of each answer of a group.

    Args:
        card: The loss.
        rewards: Of the group's answers, at least two.
    """
    total, count = math.fsum(rewards), len(rewards)
    match card.baseline:
        case "group":
            found = [reward - total / count for reward in rewards]
        case "others":
            found = [reward - (total - reward) / (count - 1) for reward in rewards]
        case _:
            assert_never(card.baseline)
    if not card.divides_by_spread:
        return found
    spread = statistics.stdev(rewards) + _LEAST_SPREAD
    return [one / spread for one in found]


def token_weights(card: ReinforcementLossCard, lengths: Sequence[int], longest: int) -> list[float]:
    """What each answer's token losses are multiplied by, so that their mean over all tokens is the card's loss.

    Args:
        card: The loss.
        lengths: Tokens of each answer of a step.
        longest: Tokens that an answer may have.
    """
    tokens, answers = sum(lengths), len(lengths)
    match card.denominator:
        case "own tokens":
            return [tokens / (answers * length) for length in lengths]
        case "longest answer":
            return [tokens / (answers * longest)] * answers
        case "all tokens":
            return [1.0] * answers
        case "answers":
            return [tokens / answers] * answers
        case _:
            assert_never(card.denominator)
