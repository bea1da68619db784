"""What a group of answers earns, and what recorded answers earn from their tokens alone: no model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, repeat
from pathlib import Path

from ftc.runtime.rewards import reward_values, total_reward
from ftc.runtime.rewards.advantages import advantages
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.judging import question_digest, read_judged
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.sampled import Earned, SampledAnswer
from ftc.spec.documents.streams import TokenStream
from ftc.spec.reinforcement_losses import reinforcement_loss
from ftc.spec.rewards import graded, judge_of

__all__ = ["earned", "earned_by_group"]


def earned_by_group(
    sampling: SamplingSettings, texts: Sequence[str], reference: str, recorded: Sequence[Sequence[float]] = ()
) -> list[Earned]:
    """Rewards and advantages of the answers to one prompt.

    Args:
        sampling: The plan's.
        texts: The answers.
        reference: The row's; empty where no reward compares with one.
        recorded: Of each answer the rewards that are asked for once; empty where a plan has none.

    Raises:
        Refusal: A reward can't be computed (FTC444).
        ImportError: A reward's library is missing.
    """
    given = recorded or [()] * len(texts)
    values = [reward_values(sampling.rewards, *one) for one in zip(texts, repeat(reference), given, strict=False)]
    totals = [total_reward(sampling.rewards, one) for one in values]
    gained = advantages(reinforcement_loss(sampling.loss), totals)
    return [Earned(*one) for one in zip(values, totals, gained, strict=True)]


def earned(
    sampling: SamplingSettings,
    answers: Sequence[SampledAnswer],
    rows: TokenStream,
    texts: Path,
    judged: Path | None = None,
) -> list[Earned]:
    """Rewards and advantages of answers, group by group.

    Args:
        sampling: The plan's.
        answers: In the order of training, a group's one after the other.
        rows: The training split.
        texts: Where the tokenizer lies.
        judged: What a judge said of answers; None where none was asked.

    Raises:
        ValueError: A judge wasn't asked about an answer.
        Refusal: A reward can't be computed (FTC444).
        ImportError: A reward's library is missing.
    """
    decode, found = TextDecoder(texts), list[Earned]()
    judge = judge_of(sampling.rewards)
    known = read_judged(judged) if judge is not None and judged is not None and judged.is_file() else {}
    for (_, prompt), group in groupby(answers, key=lambda one: (one.step, one.prompt)):
        said, reference = [decode(list(one.ids)) for one in group], next(iter(rows.texts(prompt)), "")
        recorded: list[tuple[float, ...]] = []
        if judge is not None:
            asked = decode.prompt(rows, prompt)
            ones = [known.get(question_digest(judge, asked, reference, text)) for text in said]
            recorded = [() if one is None else (graded(one.grade),) for one in ones]
        found += earned_by_group(sampling, said, reference, recorded)
    return found
