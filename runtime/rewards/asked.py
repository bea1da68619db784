"""Rewards of written answers that are asked for once: a judge's grades and a reward model's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftc.runtime.evaluation.judge_requests import Question
from ftc.runtime.rewards.grades import GradeBook
from ftc.runtime.rewards.reward_model import RewardModel
from ftc.runtime.training.signals import StopRequest
from ftc.spec.rewards import RewardTerm, recorded_rewards

__all__ = ["Graders"]


@dataclass(frozen=True, slots=True)
class Graders:
    """Who is asked about answers that earn rewards.

    Attributes:
        rewards: The plan's.
        book: A judge's grades; None where no judge gives any.
        model: A reward model; None where none scores answers.
    """

    rewards: Sequence[RewardTerm]
    book: GradeBook | None
    model: RewardModel | None

    def recorded(
        self,
        split: str,
        numbers: Sequence[int],
        texts: Sequence[str],
        question: Callable[[int], Question],
        batch_size: int,
        stop: StopRequest,
    ) -> list[tuple[float, ...]]:
        """The rewards of each answer that stand in the record, in the order of their terms; empty ones where none do.

        Args:
            split: The rows' split.
            numbers: Number of each answer's row in the split's stream.
            texts: The answers.
            question: What a judge is asked about an answer, by its place.
            batch_size: Rows that the reward model reads at once.
            stop: Asked between answers.

        Raises:
            Interrupted: Somebody asked to stop.
            Refusal: The judge doesn't answer (FTC457), or the model gives no score (FTC325, FTC459).
        """
        grades = self.book.rewards([question(place) for place in range(len(texts))]) if self.book is not None else None
        scores = None
        if self.model is not None:
            scores = self.model.scores(split, numbers, texts, batch_size, stop).values
        return recorded_rewards(self.rewards, grades, scores) or [()] * len(texts)
