"""Two answers to a prompt, of which one is preferred."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.tasks.card import EVERY_FAMILY, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import CHOSEN, PROMPT, REJECTED
from ftc.spec.tasks.rows import PairRows

__all__ = ["Preference"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="preference",
    head="lm",
    reason="the task compares two answers",
    no_prompt=("a preference has no prompt template", "a preference has no system message of its own"),
    unused=(),
    traits=(),
    usual_metrics=("preference_accuracy", "reward_margin", "logps_accuracy"),
    does="answers as people prefer",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Preference(TaskSection):
    """Two answers to a prompt, of which one is preferred, learned by direct preference optimization (Rafailov 2023).

    The reference is the model before the first step. What it gives each answer is computed once, before training, so
    that no second model has to be held.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(CHOSEN, REJECTED, PROMPT),
        row_forms=(("prompt", "chosen", "rejected"), ("chosen", "rejected")),
        template_form=None,
        written_parts=(),
        answer_parts=("chosen", "rejected"),
        beside={"prompt": "chosen"},
        signs=((Sign("chosen", "name"), Sign("rejected", "name")),),
        guess_order=20,
        foreign_names=("dpo", "rlhf", "preference_dpo"),
        is_imported=True,
        needs_decoder=True,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="a preference has no choice of tokens or labels that a teacher could weigh",
    )

    kind: Literal["preference"]
    beta: Real = Field(default=0.1, gt=0, le=100)
    """How closely the model stays to the reference: more is closer. Default: 0.1, the paper's."""

    def modes(self) -> tuple[Mode, ...]:
        """The answers' likelihoods are compared."""
        return (_MODE,)

    def rows(self) -> PairRows:
        """Pairs of answers."""
        return PairRows()
