"""Two answers to a prompt, of which one is preferred, for a model that scores answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.tasks.card import EVERY_FAMILY, OF_NEW_HEAD, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import CHOSEN, PROMPT, REJECTED
from ftc.spec.tasks.rows import PairRows

__all__ = ["Reward"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="preference",
    head="regression",
    reason="the task compares the scores of two answers",
    no_prompt=("a reward task has no prompt template", "a reward task has no system message"),
    unused=(),
    traits=(),
    usual_metrics=("preference_accuracy", "reward_margin"),
    least_steps=OF_NEW_HEAD,
    does="scores answers as people prefer them",
    pipeline="text-classification",
    split_pipeline="text-classification",
)


class Reward(TaskSection):
    """A score for an answer, learned from pairs of which one is preferred: a reward model (Bradley-Terry).

    The loss of a pair is -log sigmoid(score of the chosen answer - score of the rejected one). The score of a single
    answer means nothing; the difference of two answers to one prompt is the log odds that the first is preferred.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(CHOSEN, REJECTED, PROMPT),
        row_forms=(("prompt", "chosen", "rejected"), ("chosen", "rejected")),
        template_form=None,
        written_parts=(),
        answer_parts=("chosen", "rejected"),
        beside={"prompt": ("chosen",)},
        signs=((Sign("chosen", "name", ("chosen_response",)), Sign("rejected", "name", ("rejected_response",))),),
        guess_order=25,
        guessed=(),
        foreign_names=("reward-modeling", "rm", "trl_reward", "bradley-terry"),
        is_imported=True,
        needs_decoder=True,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="a reward task has no probabilities for a teacher",
        starter="HuggingFaceTB/SmolLM2-135M-Instruct",
    )

    kind: Literal["reward"]

    @property
    def output_names(self) -> tuple[str, ...]:
        """One number for each answer."""
        return ("reward",)

    def modes(self) -> tuple[Mode, ...]:
        """The answers' scores are compared."""
        return (_MODE,)

    def rows(self) -> PairRows:
        """Pairs of answers."""
        return PairRows()
