"""Learning rate schedules: one card each, with every fact about it.

To add one, write its card here, and its keys into `ScheduleKeys`. Rules, passes, the training loop, importers and docs
ask the cards; no other file names a member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ftc.spec.documents.settings import ScheduleSettings, TrainSettings

__all__ = ["SCHEDULES", "At", "ScheduleCard", "ScheduleKind", "Share", "learning_rate_at", "schedule_card"]


@dataclass(frozen=True, slots=True)
class At:
    """Where training stands behind the warm-up.

    Attributes:
        step: Optimizer steps that are done, over the whole run.
        num_steps: Those of the whole run.
        settings: The plan's.
    """

    step: int
    num_steps: int
    settings: ScheduleSettings

    @property
    def done(self) -> float:
        """Share of the steps behind the warm-up that are done, from 0 to 1."""
        warmup = self.settings.warmup_steps
        return (self.step - warmup) / max(1, self.num_steps - warmup)


@dataclass(frozen=True, slots=True)
class Share:
    """A key that is a share of the steps in a recipe, and a number of steps in a plan.

    Attributes:
        key: In the recipe.
        setting: In the plan.
        reason: How a plan says it, `{}` standing for `0.2 of 100 steps`.
    """

    key: str
    setting: str
    reason: str


@dataclass(frozen=True, slots=True)
class ScheduleCard:
    """One schedule.

    Attributes:
        kind: What a recipe calls it.
        label: What a plan calls it.
        meaning: What the rate does behind the warm-up.
        reads: Keys of the recipe that it knows, beside those of the warm-up, which all know.
        shares: Those of them that become numbers of steps.
        watches_validation: Whether it goes by validation results.
        factor: Times the peak rate, behind the warm-up.
        names: Values of `lr_scheduler_type` in transformers' trainer, which TRL, Axolotl, LLaMA-Factory and Oumi hand
            on.
        without_warmup: Those of them that have no warm-up.
        components: Functions, as torchtune's configurations name them behind their modules.
        foreign_values: Keys of the recipe that these tools set otherwise unless told, with the reason.
    """

    kind: str
    label: str
    meaning: str
    reads: tuple[str, ...]
    shares: tuple[Share, ...]
    watches_validation: bool
    factor: Callable[[At], float]
    names: tuple[str, ...]
    without_warmup: tuple[str, ...]
    components: tuple[str, ...]
    foreign_values: Mapping[str, tuple[float, str]]


SCHEDULES: tuple[ScheduleCard, ...] = (
    ScheduleCard(
        kind="constant",
        label="constant",
        meaning="stays at the peak",
        reads=(),
        shares=(),
        watches_validation=False,
        factor=lambda at: 1.0,
        names=("constant", "constant_with_warmup"),
        without_warmup=("constant",),
        components=("get_constant_schedule_with_warmup",),
        foreign_values={},
    ),
    ScheduleCard(
        kind="linear",
        label="linear",
        meaning="falls to zero in a line",
        reads=(),
        shares=(),
        watches_validation=False,
        factor=lambda at: 1 - at.done,
        names=("linear",),
        without_warmup=(),
        components=("get_linear_schedule_with_warmup",),
        foreign_values={},
    ),
    ScheduleCard(
        kind="cosine",
        label="cosine",
        meaning="falls to zero in half a cosine",
        reads=(),
        shares=(),
        watches_validation=False,
        factor=lambda at: 0.5 * (1 + math.cos(math.pi * at.done)),
        names=("cosine",),
        without_warmup=(),
        components=("get_cosine_schedule_with_warmup",),
        foreign_values={},
    ),
    ScheduleCard(
        kind="warmup_stable_decay",
        label="warmup_stable_decay",
        meaning="stays at the peak, and falls to zero in a line at the end",
        reads=("decay_ratio",),
        shares=(Share("decay_ratio", "decay_steps", "the last {}, rounded up"),),
        watches_validation=False,
        factor=lambda at: min(1.0, (at.num_steps - at.step) / max(1, at.settings.decay_steps)),
        names=("warmup_stable_decay",),
        without_warmup=(),
        components=(),
        foreign_values={},
    ),
    ScheduleCard(
        kind="plateau",
        label="plateau",
        meaning="stays level, and is lowered whenever validation no longer gets better",
        reads=("patience", "factor"),
        shares=(),
        watches_validation=True,
        factor=lambda at: 1.0,
        names=("reduce_lr_on_plateau",),
        without_warmup=(),
        components=(),
        foreign_values={
            "patience": (10, "torch's default"),
            "factor": (0.1, "torch's default"),
        },
    ),
)
"""Every schedule, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in SCHEDULES}

if TYPE_CHECKING:
    ScheduleKind = str
else:
    ScheduleKind = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def schedule_card(kind: str) -> ScheduleCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]


def learning_rate_at(step: int, train: TrainSettings) -> float:
    """Learning rate of an optimizer step, counted from 0.

    It rises to the peak over the warm-up, whose first step already moves; then the schedule's factor holds. A schedule
    that falls to zero would reach it one step after the last.
    """
    warmup = train.schedule.warmup_steps
    if step < warmup:
        return train.learning_rate * (step + 1) / warmup
    at = At(step, train.num_steps, train.schedule)
    return train.learning_rate * schedule_card(train.schedule.kind).factor(at)
