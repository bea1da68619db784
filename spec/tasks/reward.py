"""A model that scores answers, learned from pairs of which one is preferred, from rated ones, or from rated steps."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.number_losses import NumberLossCard, number_loss
from ftc.spec.reward_losses import RewardLoss, RewardLossCard, reward_loss
from ftc.spec.tasks.card import EVERY_FAMILY, OF_NEW_HEAD, Guessed, Mode, Scale, Sign, TaskCard, TaskSection, Unused
from ftc.spec.tasks.parts import (
    CHOSEN,
    COMPLETION,
    MESSAGES,
    PROMPT,
    RATING,
    REJECTED,
    SCORE,
    STEP_LABELS,
    STEPS,
    SYSTEM,
)
from ftc.spec.tasks.rows import PairRows, ScoredAnswerRows, StepRows

__all__ = ["RIGHT", "Reward"]

_LABELS = ("wrong", "right")
"""What steps are called, in the order of the head's outputs."""
RIGHT = _LABELS.index("right")
"""Output of a process reward model that speaks for a step."""


def _unused(*keys: str) -> tuple[Unused, ...]:
    """Keys that another loss reads."""
    return tuple(
        Unused(key, f"`{key}` has no effect with this `loss`", f"remove `{key}`, or choose another `task.loss`")
        for key in keys
    )


_PAIRS = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="preference",
    head="regression",
    reason="the task compares the scores of two answers",
    no_prompt=("a reward task has no prompt template", "a reward task has no system message"),
    unused=_unused("normalize", "step_separator"),
    traits=("compared",),
    usual_metrics=("preference_accuracy", "reward_margin"),
    least_steps=OF_NEW_HEAD,
    does="scores answers as people prefer them",
    pipeline="text-classification",
    split_pipeline="text-classification",
)
_RATINGS = replace(
    _PAIRS,
    form="answer",
    reason="the task rates an answer as a whole",
    traits=("good_or_bad",),
    usual_metrics=("rating_accuracy", "spearman"),
    does="scores answers as people rate them",
)
_NUMBERS = replace(
    _RATINGS,
    unused=_unused("step_separator"),
    traits=("scored",),
    usual_metrics=("mae", "rmse", "r2", "pearson", "spearman"),
)
_STEPS = replace(
    _PAIRS,
    form="steps",
    head="token_classification",
    reason="the task rates each step of an answer",
    unused=_unused("normalize"),
    traits=("stepwise",),
    usual_metrics=("step_accuracy", "first_error_accuracy"),
    does="says of each step of an answer whether it is right",
    pipeline="token-classification",
    split_pipeline="token-classification",
)
_MODES = {"pairs": _PAIRS, "ratings": _RATINGS, "numbers": _NUMBERS, "steps": _STEPS}
_ROW_FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "pairs": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "ratings": (("prompt", "completion", "rating"), ("messages", "rating")),
    "numbers": (("prompt", "completion", "score"), ("messages", "score")),
    "steps": (("prompt", "steps", "step_labels"),),
}
_PAIR_SIGNS = (Sign("chosen", "name", ("chosen_response",)), Sign("rejected", "name", ("rejected_response",)))
_STEP_SIGNS = (Sign("prompt", "name"), Sign("steps", "lists"), Sign("step_labels", "lists"))


class Reward(TaskSection):
    """A score for an answer: a reward model. It is learned from pairs of which one is preferred (Bradley-Terry), from
    single answers that are rated, or from the steps of an answer, each right or wrong (a process reward model).

    The loss of a pair is -log sigmoid(score of the chosen answer - score of the rejected one). The score of a single
    answer then means nothing; the difference of two answers to one prompt is the log odds that the first is preferred.
    Rows of several preferred and several rejected answers are read as for a preference task.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(CHOSEN, REJECTED, PROMPT, COMPLETION, MESSAGES, RATING, SCORE, STEPS, STEP_LABELS, SYSTEM),
        row_forms=tuple(form for forms in _ROW_FORMS.values() for form in forms),
        template_form=None,
        written_parts=(),
        answer_parts=("chosen", "rejected", "rating", "score", "step_labels"),
        beside={"prompt": ("chosen",), "system": ("chosen", "completion", "messages")},
        signs=(_PAIR_SIGNS, _STEP_SIGNS),
        guess_order=25,
        guessed=(Guessed(_STEP_SIGNS, {"loss": "step_cross_entropy"}, ""),),
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
    loss: RewardLoss = "bradley_terry"
    """What is learned from. `bradley_terry`: pairs of answers. `binary_cross_entropy`: answers that are rated good or
    bad. `mse`: answers with a number. `step_cross_entropy`: answers in steps, each of which is right or wrong. Default:
    `bradley_terry`, since pairs are the most common."""
    normalize: Scale = "standard"
    """How the numbers of `mse` are learned. `standard`: as their distance from the mean of the training rows, in
    standard deviations; predictions are converted back. `none`: as they are, so that the model's own output is the
    score. Default: standard, so that a learning rate suits numbers of any unit."""
    step_separator: str = Field(default="\n", min_length=1, max_length=100)
    """Text behind each step, at whose last token the step is scored. Default: a line break, as in TRL."""

    @property
    def reward_loss(self) -> RewardLossCard:
        """The one that the recipe names."""
        return reward_loss(self.loss)

    @property
    def number_loss(self) -> NumberLossCard | None:
        """The loss of an answer's number or rating; None for pairs and steps."""
        kind = self.reward_loss.number_loss
        return None if kind is None else number_loss(kind)

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """Those that the loss learns from."""
        return _ROW_FORMS[self.reward_loss.rows]

    @property
    def declared_labels(self) -> tuple[str, ...] | None:
        """Of steps, wrong and right."""
        return _LABELS if self.reward_loss.rows == "steps" else None

    @property
    def output_names(self) -> tuple[str, ...]:
        """One number for each answer."""
        return ("reward",)

    @property
    def separator(self) -> str:
        """What stands behind each step."""
        return self.step_separator

    @property
    def scored_unit(self) -> Literal["answers", "steps"]:
        """What the model gives a score, by what a row is."""
        return "steps" if self.reward_loss.rows == "steps" else "answers"

    def modes(self) -> tuple[Mode, ...]:
        """By what a row is."""
        return (_MODES[self.reward_loss.rows],)

    def rows(self) -> PairRows | ScoredAnswerRows | StepRows:
        """Pairs of answers, answers with a rating or a number, or answers in steps."""
        match self.reward_loss.rows:
            case "pairs":
                return PairRows()
            case "ratings":
                return ScoredAnswerRows("rating")
            case "numbers":
                return ScoredAnswerRows("score")
            case "steps":
                return StepRows(_LABELS)
