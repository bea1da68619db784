"""What a group of answers earns, and what recorded answers earn from their tokens: no trained model is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ftc.spec.rewards import graded, judge_of, recorded_rewards

__all__ = ["Score", "earned", "earned_by_group"]

Score = Callable[[Sequence[SampledAnswer], Sequence[str]], Sequence[float]]
"""Gives what a reward model makes of the answers of one step, with their texts."""


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
    score: Score | None = None,
) -> list[Earned]:
    """Rewards and advantages of answers, group by group.

    Args:
        sampling: The plan's.
        answers: In the order of training, a group's one after the other.
        rows: The training split.
        texts: Where the tokenizer lies.
        judged: What a judge said of answers; None where none was asked.
        score: Gives what a reward model gave the answers of a step; None where none was asked.

    Raises:
        ValueError: A judge wasn't asked about an answer.
        Refusal: A reward can't be computed (FTC444).
        ImportError: A reward's library is missing.
    """
    decode, found = TextDecoder(texts), list[Earned]()
    judge = judge_of(sampling.rewards)
    known = read_judged(judged) if judge is not None and judged is not None and judged.is_file() else {}
    for _, of_step in groupby(answers, key=lambda one: one.step):
        step = list(of_step)
        texts_of = [decode(list(one.ids)) for one in step]
        scores = score(step, texts_of) if score is not None else None
        start = 0
        for prompt, group in groupby(step, key=lambda one: one.prompt):
            end = start + sum(1 for _ in group)
            said, reference = texts_of[start:end], next(iter(rows.texts(prompt)), "")
            grades: list[float] | None = None
            if judge is not None:
                asked = decode.prompt(rows, prompt)
                ones = [known.get(question_digest(judge, asked, reference, text)) for text in said]
                if None in ones:
                    raise ValueError("an answer lacks the reward that a judge gave it")
                grades = [graded(one.grade) for one in ones if one is not None]
            recorded = recorded_rewards(sampling.rewards, grades, None if scores is None else scores[start:end])
            found += earned_by_group(sampling, said, reference, recorded)
            start = end
    return found
