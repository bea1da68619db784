"""The form of a sweep, `NAME.sweep.yaml`: which values of a recipe are searched, by what measure, at what cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from ftc.spec.base import Document, MoneyText, Seconds, SparseDocument
from ftc.spec.metrics import METRIC_BY_NAME
from ftc.spec.sections.data import MOST_FOLDS

__all__ = [
    "PLAN_FIGURES",
    "Axis",
    "Choices",
    "Integers",
    "LogRange",
    "Objective",
    "Prune",
    "Search",
    "Sweep",
    "SweepBudget",
    "UniformRange",
]

Value = int | float | str | bool

PLAN_FIGURES = {"trainable_parameters": "minimize", "memory": "minimize", "time": "minimize"}
"""Objectives that the plan knows before anything runs, and in which direction they are good."""
_MOST_VALUES = 10_000


class LogRange(Document):
    """Values between two ends whose logarithms are evenly spaced, as fits a learning rate."""

    log: tuple[float, float]
    digits: int = Field(default=2, ge=1, le=4)
    """Significant digits. A trial's value is one that a person would write down. Default 2."""

    @model_validator(mode="after")
    def _is_range(self) -> LogRange:
        low, high = self.log
        if not 0 < low < high:
            raise ValueError("write `log: [low, high]` with 0 < low < high")
        return self

    def values(self) -> tuple[Value, ...]:
        """All values, in order."""
        low, high = map(math.log10, self.log)
        count = math.ceil((high - low) * math.log(10) * 10 ** (self.digits - 1))  # as close as the digits tell apart
        points = (10 ** (low + (high - low) * number / count) for number in range(count + 1))
        rounded = {float(f"{point:.{self.digits - 1}e}") for point in points}
        return tuple(sorted(value for value in {*rounded, *self.log} if self.log[0] <= value <= self.log[1]))


class UniformRange(Document):
    """Values between two ends, evenly spaced."""

    uniform: tuple[float, float]
    step: float | None = Field(default=None, gt=0)
    """Distance of neighbors. Default: a hundredth of the range."""

    @model_validator(mode="after")
    def _is_range(self) -> UniformRange:
        low, high = self.uniform
        if not low < high:
            raise ValueError("write `uniform: [low, high]` with low < high")
        if self.step is not None and not (high - low) / _MOST_VALUES <= self.step <= high - low:
            raise ValueError(f"`step` lies between a {_MOST_VALUES:,}th of the range and the range")
        return self

    def values(self) -> tuple[Value, ...]:
        """All values, in order."""
        low, high = (Decimal(repr(end)) for end in self.uniform)
        step = (high - low) / 100 if self.step is None else Decimal(repr(self.step))
        return tuple(float(low + step * number) for number in range(int((high - low) / step) + 1))


class Integers(Document):
    """Whole numbers between two ends."""

    integers: tuple[int, int]
    step: int = Field(default=1, ge=1)
    """Distance of neighbors. Default 1."""

    @model_validator(mode="after")
    def _is_range(self) -> Integers:
        low, high = self.integers
        if not low < high or (high - low) // self.step > _MOST_VALUES:
            raise ValueError(f"write `integers: [low, high]` with low < high and at most {_MOST_VALUES:,} values")
        return self

    def values(self) -> tuple[Value, ...]:
        """All values, in order."""
        low, high = self.integers
        return tuple(range(low, high + 1, self.step))


class Choices(Document):
    """The values of a list."""

    choices: tuple[Value, ...] = Field(min_length=2)

    @field_validator("choices")
    @classmethod
    def _differ(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if len(set(map(repr, values))) < len(values):
            raise ValueError("the same value is in the list twice")
        return values

    def values(self) -> tuple[Value, ...]:
        """All values, as they are written."""
        return self.choices


_FORMS: dict[str, type[Document]] = {"log": LogRange, "uniform": UniformRange, "integers": Integers, "choices": Choices}


def _form(axis: object) -> str | None:
    """The form that the values of one setting are written in."""
    if isinstance(axis, dict):
        return next((name for name in _FORMS if name in axis), None)
    return next((name for name, form in _FORMS.items() if isinstance(axis, form)), None)


def _axes(space: Mapping[str, object], below: str) -> Iterator[tuple[str, object]]:
    """The settings of a space that is written as a recipe, by path."""
    for name, inner in space.items():
        path = f"{below}{name}"
        if isinstance(inner, dict) and _form(inner) is None and inner:
            yield from _axes(inner, f"{path}.")
        else:
            yield path, {"choices": tuple(inner)} if isinstance(inner, list | tuple) else inner


Axis = Annotated[
    Annotated[LogRange, Tag("log")]
    | Annotated[UniformRange, Tag("uniform")]
    | Annotated[Integers, Tag("integers")]
    | Annotated[Choices, Tag("choices")],
    Discriminator(_form),
]
"""The values that one setting may take."""


class Objective(Document):
    """What is to be good: a metric on validation, or a figure of the plan."""

    metric: str = "val_loss"
    """`val_loss`, another metric of the recipe with `val_` before its name, or a figure of the plan:
    `trainable_parameters`, `memory` (bytes) or `time` (seconds). Default `val_loss`."""
    goal: Literal["minimize", "maximize", "auto"] = "auto"
    """Default auto: what is good of the metric."""

    @field_validator("metric")
    @classmethod
    def _is_of_validation(cls, name: str) -> str:
        bare = name.removeprefix("val_")
        if name in PLAN_FIGURES or (name != bare and (bare == "loss" or bare in METRIC_BY_NAME)):
            return name
        if name in METRIC_BY_NAME or name == "loss" or name.startswith("test_"):
            meant = f"val_{name.removeprefix('test_')}"
            raise ValueError(f"the test split must not choose; write `{meant}`, the same metric on validation")
        raise ValueError(f"`{name}` is no metric; write `val_loss`, `val_accuracy` or another metric of the recipe")

    @property
    def is_higher_better(self) -> bool:
        """Whether larger values are better."""
        if self.goal != "auto":
            return self.goal == "maximize"
        bare = self.metric.removeprefix("val_")
        return self.metric not in PLAN_FIGURES and bare != "loss" and METRIC_BY_NAME[bare].higher_is_better


class Search(Document):
    """How points of the space are chosen; all but the grid by Optuna."""

    kind: Literal["grid", "random", "tpe", "gp", "nsga2"] = "tpe"
    """`grid`: every combination. `random`. `tpe`: tree-structured Parzen estimator. `gp`: Gaussian process. `nsga2`:
    genetic, for several objectives. Default tpe."""
    trials: int | None = Field(default=None, ge=1, le=10_000)
    """How many. Default 16; of a grid all."""
    startup: int = Field(default=8, ge=1, le=1_000)
    """Trials that are drawn at random before `tpe` and `gp` learn from others; the population of `nsga2`. Default 8."""
    seed: int = Field(default=17, ge=0, le=2**32 - 1)
    """Default 17."""


class Prune(Document):
    """Which trials are left before their end, by their validation so far."""

    kind: Literal["halving", "hyperband", "median"] = "halving"
    """`halving`: successive halving, asynchronous. `hyperband`: halving from several beginnings. `median`: whatever is
    worse than the median of the trials before it at the same step, after `search.startup` trials. Default halving."""
    from_step: int = Field(default=1, ge=1)
    """The first step at which a trial may be left. Default 1: the first evaluation on validation."""
    factor: int = Field(default=2, ge=2, le=16)
    """Of `halving` and `hyperband`: one of so many goes on, at each step where trials are compared. Default 2."""


class SweepBudget(Document):
    """What the whole sweep may take."""

    time: Seconds | None = None
    """Of all trials together, by their plans before the sweep and by the clock while it runs. Default: no limit."""
    cost: MoneyText | None = None
    """Of all trials together, by their plans. Default: no limit."""
    parallel: int = Field(default=1, ge=1, le=64)
    """Trials at the same time, each in a process of its own. Default 1."""


class Sweep(SparseDocument):
    """The file."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("curve", "folds")

    ftc_sweep: Literal[1]
    """Version of the form."""
    recipe: str
    """The recipe's file, relative to this one."""
    objective: Objective | Annotated[tuple[Objective, ...], Field(min_length=1)] = Objective()
    """One, or a list: then the trials that no other beats in all of them are the answer."""
    space: dict[str, Axis] = Field(default_factory=dict)
    """The values of settings, written as in the recipe: `train: {learning_rate: {log: [1e-4, 3e-3]}}`, and a list where
    any of some values may be taken. By path of a setting here. Default: none, where `folds` or `seeds` repeat the
    recipe's own values."""
    curve: Literal["data"] | None = None
    """`data`: a learning curve. The space is `data: {max_rows: [...]}`, and the recipe's own values stand for all rows.
    Default: none."""
    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    """Cross-validation: each trial is trained once for each of so many folds of the rows that are not test rows, and
    judged by the mean over them. Default: none, so that the recipe's own split decides."""
    search: Search = Search()
    prune: Prune | None = None
    """Default: every trial runs to its end."""
    seeds: tuple[int, ...] = Field(default=(), max_length=32)
    """Each trial is run with each of these seeds and judged by the mean. Default: the recipe's own seed alone."""
    budget: SweepBudget = SweepBudget()

    @field_validator("space", mode="before")
    @classmethod
    def _by_path(cls, space: object) -> object:
        return dict(_axes(space, "")) if isinstance(space, dict) else space

    @model_validator(mode="after")
    def _fits_together(self) -> Sweep:
        if not self.space and self.folds is None and len(self.seeds) < 2:
            raise ValueError("write `space`, `folds: 5` or `seeds: [17, 18, 19]`, so that there is something to train")
        if self.curve is not None and (self.search.kind != "grid" or self.space.keys() != {"data.max_rows"}):
            raise ValueError("a curve is `space: {data: {max_rows: [...]}}` with `search: {kind: grid}`")
        if "data.split.fold" in self.space:
            raise ValueError("a fold is not searched; write `folds: 5`")
        if self.prune and self.folds is not None:
            raise ValueError("`prune` goes with the recipe's own split, not with `folds`")
        if "train.seed" in self.space:
            raise ValueError("a seed is not searched; write `seeds: [17, 18, 19]`")
        first, *others = self.objectives
        if self.prune and (others or self.seeds):
            raise ValueError("`prune` goes with one objective and one seed")
        if self.prune and first.metric in PLAN_FIGURES:
            raise ValueError("`prune` needs an objective on validation")
        if others and self.search.kind == "gp":
            raise ValueError("`search.kind: gp` takes one objective; `nsga2` and `tpe` take several")
        return self

    @property
    def kind(self) -> Literal["search", "curve", "repeats"]:
        """Whether values are chosen, more training rows compared with fewer, or the recipe's own values repeated."""
        return "curve" if self.curve else "search" if self.space else "repeats"

    @property
    def repeats(self) -> tuple[tuple[int | None, int | None], ...]:
        """Seed and fold of each training of a trial; None for what the recipe itself has."""
        folds = range(1, self.folds + 1) if self.folds else (None,)
        return tuple((seed, fold) for fold in folds for seed in self.seeds or (None,))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All objectives, in order."""
        return (self.objective,) if isinstance(self.objective, Objective) else self.objective

    @property
    def grid_size(self) -> int:
        """Number of combinations of the values."""
        return math.prod(len(axis.values()) for axis in self.space.values())

    @property
    def trials(self) -> int:
        """How many trials are wanted."""
        wanted = self.search.trials or (self.grid_size if self.search.kind == "grid" else 16)
        return min(wanted, self.grid_size)
