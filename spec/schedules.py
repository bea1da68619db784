"""Learning rate schedules: one card each, with every fact about it.

To add one, write its card here, and its keys into `ScheduleKeys`. Rules, passes, the training loop, importers and docs
ask the cards; no other file names a member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real, SparseDocument

if TYPE_CHECKING:
    from ftc.spec.documents.settings import ScheduleSettings, TrainSettings

__all__ = [
    "SCHEDULES",
    "At",
    "ScheduleCard",
    "ScheduleKeys",
    "ScheduleKind",
    "Share",
    "learning_rate_at",
    "schedule_card",
]


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

    @property
    def inverse_root(self) -> float:
        """Inverse square root of the steps behind the warm-up, in units of the plan's `timescale`."""
        scale = self.settings.timescale or 1
        return 1 / math.sqrt((self.step - self.settings.warmup_steps + scale) / scale)

    def over_floor(self, factor: float) -> float:
        """A factor from 0 to 1, lifted so that it ends at the plan's `min_lr_ratio` rather than at zero."""
        floor = self.settings.min_lr_ratio
        return factor if floor is None else floor + (1 - floor) * factor


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
        usual: Values of keys that nobody has written, given the steps of the warm-up, with the reason; a key that isn't
            here stays without a value.
        watches_validation: Whether it goes by validation results.
        factor: Times the peak rate, behind the warm-up.
        names: Values of `lr_scheduler_type` in transformers' trainer, which TRL, Axolotl, LLaMA-Factory and Oumi hand
            on.
        without_warmup: Those of them that have no warm-up.
        components: Functions, as torchtune's configurations name them behind their modules.
        arguments: Further arguments of these schedules (`lr_scheduler_kwargs`), with the plan's names for them.
        differs: What is different there, as an import says it; empty for nothing.
        foreign_values: Keys of the recipe that these tools set otherwise unless told, with the reason.
    """

    kind: str
    label: str
    meaning: str
    reads: tuple[str, ...]
    shares: tuple[Share, ...]
    usual: Mapping[str, Callable[[int], tuple[float, str]]]
    watches_validation: bool
    factor: Callable[[At], float]
    names: tuple[str, ...]
    without_warmup: tuple[str, ...]
    components: tuple[str, ...]
    arguments: Mapping[str, str]
    differs: str
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
        usual={},
        arguments={},
        differs="",
        foreign_values={},
    ),
    ScheduleCard(
        kind="linear",
        label="linear",
        meaning="linear decay to zero",
        reads=(),
        shares=(),
        watches_validation=False,
        factor=lambda at: 1 - at.done,
        names=("linear",),
        without_warmup=(),
        components=("get_linear_schedule_with_warmup",),
        usual={},
        arguments={},
        differs="",
        foreign_values={},
    ),
    ScheduleCard(
        kind="cosine",
        label="cosine",
        meaning="cosine decay to zero or to `min_lr_ratio` of the peak",
        reads=("min_lr_ratio",),
        shares=(),
        watches_validation=False,
        factor=lambda at: at.over_floor(0.5 * (1 + math.cos(math.pi * at.done))),
        names=("cosine", "cosine_with_min_lr"),
        without_warmup=(),
        components=("get_cosine_schedule_with_warmup",),
        usual={},
        arguments={"min_lr_rate": "min_lr_ratio"},
        differs="",
        foreign_values={},
    ),
    ScheduleCard(
        kind="warmup_stable_decay",
        label="warmup_stable_decay",
        meaning="stays at the peak, then decays linearly at the end, to zero or to `min_lr_ratio` of the peak",
        reads=("decay_ratio", "min_lr_ratio"),
        shares=(Share("decay_ratio", "decay_steps", "the last {}, rounded up"),),
        watches_validation=False,
        factor=lambda at: at.over_floor(min(1.0, (at.num_steps - at.step) / max(1, at.settings.decay_steps))),
        names=("warmup_stable_decay",),
        without_warmup=(),
        components=(),
        usual={},
        arguments={"num_decay_steps": "decay_steps", "min_lr_ratio": "min_lr_ratio"},
        differs="it decays linearly here; there the decay is a cosine unless `decay_type` is `linear`",
        foreign_values={},
    ),
    ScheduleCard(
        kind="cosine_with_restarts",
        label="cosine_with_restarts",
        meaning="cosine decay to zero, `cycles` times, each time from the peak",
        reads=("cycles",),
        shares=(),
        usual={"cycles": lambda warmup: (2, "one restart, in the middle")},
        watches_validation=False,
        factor=lambda at: 0.5 * (1 + math.cos(math.pi * (((at.settings.cycles or 1) * at.done) % 1))),
        names=("cosine_with_restarts",),
        without_warmup=(),
        components=(),
        arguments={"num_cycles": "cycles"},
        differs="",
        foreign_values={"cycles": (1, "transformers' default")},
    ),
    ScheduleCard(
        kind="polynomial",
        label="polynomial",
        meaning="decays as a power of the remaining steps, to zero or to `min_lr_ratio` of the peak",
        reads=("power", "min_lr_ratio"),
        shares=(),
        usual={"power": lambda warmup: (2.0, "a parabola, which is flat at the end")},
        watches_validation=False,
        factor=lambda at: at.over_floor((1 - at.done) ** (at.settings.power or 1.0)),
        names=("polynomial",),
        without_warmup=(),
        components=(),
        arguments={"power": "power"},
        differs="",
        foreign_values={"power": (1, "transformers' default")},
    ),
    ScheduleCard(
        kind="inverse_sqrt",
        label="inverse_sqrt",
        meaning="decays with the inverse square root of the steps, for runs of unknown length",
        reads=("timescale",),
        shares=(),
        usual={"timescale": lambda warmup: (warmup or 10_000, "the warm-up steps, or 10,000 without warm-up")},
        watches_validation=False,
        factor=lambda at: at.inverse_root,
        names=("inverse_sqrt",),
        without_warmup=(),
        components=(),
        arguments={"timescale": "timescale"},
        differs="",
        foreign_values={},
    ),
    ScheduleCard(
        kind="plateau",
        label="plateau",
        meaning="stays constant, and is reduced whenever validation stops improving",
        reads=("patience", "factor"),
        shares=(),
        watches_validation=True,
        factor=lambda at: 1.0,
        names=("reduce_lr_on_plateau",),
        without_warmup=(),
        components=(),
        usual={},
        arguments={},
        differs="",
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


class ScheduleKeys(SparseDocument):
    """What a recipe says and a plan settles of single schedules; None for what nobody said, or a schedule ignores."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("min_lr_ratio", "cycles", "power", "timescale")

    kind: ScheduleKind
    min_lr_ratio: Real | None = Field(default=None, ge=0, lt=1)
    """Share of the peak rate at which the rate ends, of schedules that know it. Default: none, so that they fall to
    zero."""
    cycles: int | None = Field(default=None, ge=1, le=1000)
    """Times that `cosine_with_restarts` falls. Default: 2, so that it restarts once, in the middle."""
    power: Real | None = Field(default=None, gt=0, le=10)
    """Exponent of `polynomial`; 1 is a line. Default: 2, a parabola, which is flat at its end."""
    timescale: int | None = Field(default=None, ge=1)
    """Steps after which `inverse_sqrt` has fallen by a factor of about 0.7. Default: the warm-up's steps, or 10,000
    without a warm-up, as in transformers."""


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
