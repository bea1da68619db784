"""What a group of answers earns, and what recorded answers earn from their tokens alone: no model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ftc.runtime.rewards import reward_values, total_reward
from ftc.runtime.rewards.advantages import advantages
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.sampled import Earned, SampledAnswer
from ftc.spec.documents.streams import TextDecoder, TokenStream
from ftc.spec.reinforcement_losses import reinforcement_loss

__all__ = ["earned", "earned_by_group"]


def earned_by_group(sampling: SamplingSettings, texts: Sequence[str], reference: str) -> list[Earned]:
    """Rewards and advantages of the answers to one prompt.

    Args:
        sampling: The plan's.
        texts: The answers.
        reference: The row's; empty where no reward compares with one.

    Raises:
        Refusal: A reward can't be computed (FTC444).
        ImportError: A reward's library is missing.
    """
    values = [reward_values(sampling.rewards, text, reference) for text in texts]
    totals = [total_reward(sampling.rewards, one) for one in values]
    gained = advantages(reinforcement_loss(sampling.loss), totals)
    return [Earned(*one) for one in zip(values, totals, gained, strict=True)]


def earned(
    sampling: SamplingSettings, answers: Sequence[SampledAnswer], rows: TokenStream, texts: Path
) -> list[Earned]:
    """Rewards and advantages of answers, group by group.

    Args:
        sampling: The plan's.
        answers: In the order of training, a group's one after the other.
        rows: The training split.
        texts: Where the tokenizer lies.

    Raises:
        Refusal: A reward can't be computed (FTC444).
        ImportError: A reward's library is missing.
    """
    decode, found = TextDecoder(texts), list[Earned]()
    for (_, prompt), group in groupby(answers, key=lambda one: (one.step, one.prompt)):
        said = [decode(list(one.ids)) for one in group]
        found += earned_by_group(sampling, said, next(iter(rows.texts(prompt)), ""))
    return found
