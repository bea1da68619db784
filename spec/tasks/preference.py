"""Two answers to a prompt, of which one is preferred."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.preference_losses import PREFERENCE_LOSSES, PreferenceLoss, PreferenceLossCard, preference_loss
from ftc.spec.tasks.card import EVERY_FAMILY, Guessed, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import CHOSEN, COMPLETION, MESSAGES, PROMPT, RATING, REJECTED, SYSTEM
from ftc.spec.tasks.rows import PairRows, RatedRows

__all__ = ["Preference"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="preference",
    head="lm",
    reason="the task compares two answers",
    no_prompt=("a preference task has no prompt template", "a preference task has no system message"),
    unused=(),
    traits=(),
    usual_metrics=("preference_accuracy", "reward_margin", "logps_accuracy"),
    least_steps=None,
    does="answers as people prefer",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)
_RATED = replace(
    _MODE,
    reason="the task learns from answers that are rated good or bad",
    traits=("rated",),
    usual_metrics=("preference_accuracy", "reward_margin"),
)
_PAIRS = (("prompt", "chosen", "rejected"), ("chosen", "rejected"))
_RATING_LOSS = next(card.kind for card in PREFERENCE_LOSSES if card.rates)
_RATED_SIGNS = (
    (
        Sign("prompt", "name", ("prompt", "instruction", "question")),
        Sign("completion", "name"),
        Sign("rating", "ratings"),
    ),
    (Sign("messages", "list"), Sign("rating", "ratings")),
)
"""What tells rated answers; labels of texts are 0 and 1 as well, so a prompt has to be called so."""
_RATINGS = (("prompt", "completion", "rating"), ("messages", "rating"))


class Preference(TaskSection):
    """Two answers to a prompt, of which one is preferred: DPO and its relatives. With `loss: kto`, single answers that
    are rated good or bad.

    A row may have lists of answers, `chosen: [a, b]` and `rejected: [c, d, e]`: each preferred answer makes a pair with
    each rejected one, as in InstructGPT. Every pair counts once in the metrics; in the loss all pairs of a row together
    weigh as much as those of any other row.

    The reference is the model before the first step. Its log-probabilities are computed once, before training, so that
    no second model is held in memory. SimPO, ORPO and CPO need no reference.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(CHOSEN, REJECTED, PROMPT, COMPLETION, MESSAGES, RATING, SYSTEM),
        row_forms=(*_PAIRS, *_RATINGS),
        template_form=None,
        written_parts=(),
        answer_parts=("chosen", "rejected", "completion", "rating"),
        beside={"prompt": ("chosen",), "system": ("chosen", "completion", "messages")},
        signs=((Sign("chosen", "name"), Sign("rejected", "name")), *_RATED_SIGNS),
        guess_order=5,
        guessed=tuple(Guessed(signs, {"loss": _RATING_LOSS}, "") for signs in _RATED_SIGNS),
        foreign_names=("dpo", "ipo", "simpo", "orpo", "cpo", "rlhf", "preference_dpo"),
        is_imported=True,
        needs_decoder=True,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="a preference task has no distribution over tokens or labels for a teacher",
        starter="HuggingFaceTB/SmolLM2-135M-Instruct",
    )

    kind: Literal["preference"]
    loss: PreferenceLoss = "dpo"
    """Loss of a pair, or of a rated answer (`kto`). Default: `dpo`, direct preference optimization."""
    beta: Real = Field(default=0.1, gt=0, le=100)
    """Scale of the rewards: more keeps the model closer to the reference. For ORPO, the weight of the odds ratio.
    Default: 0.1; 2 for `simpo`."""
    label_smoothing: Real = Field(default=0, ge=0, lt=0.5)
    """Share of the pairs that may be the wrong way round, of losses that know it. Default: 0; 0.1 for `robust_dpo`."""
    gamma: Real = Field(default=0.5, ge=0, le=100)
    """Reward margin that `simpo` asks for. Default: 0.5, as in other tools."""
    sft_weight: Real = Field(default=0, ge=0, le=100)
    """Weight of the chosen answer's own loss (nats per token), added to that of the pair; RPO's alpha. Default: 0; 1
    for `orpo` and `cpo`, whose papers define it so."""
    per_token: bool = False
    """Whether log-probabilities are averaged over an answer's tokens, so that long answers don't win or lose by their
    length. `ipo`, `simpo` and `orpo` always do. Default: no, as DPO's paper has it."""

    desirable_weight: Real = Field(default=1, gt=0, le=100)
    """Weight of good answers in `kto`. Default: 1; where good answers are fewer than bad ones, more makes up for it."""
    undesirable_weight: Real = Field(default=1, gt=0, le=100)
    """Weight of bad answers in `kto`. Default: 1, as that of good ones."""

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """Pairs, or rated answers."""
        return _RATINGS if self.pair_loss.rates else _PAIRS

    @property
    def pair_loss(self) -> PreferenceLossCard:
        """The one that the recipe names."""
        return preference_loss(self.loss)

    def modes(self) -> tuple[Mode, ...]:
        """The answers' likelihoods are compared."""
        return (_RATED if self.pair_loss.rates else _MODE,)

    def rows(self) -> PairRows | RatedRows:
        """Pairs of answers, or answers with a rating."""
        return RatedRows() if self.pair_loss.rates else PairRows()
