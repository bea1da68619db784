"""What an optimizer's card says: types alone. The cards are `ftc.spec.optimizers`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from ftc.spec.precisions import NumberType

__all__ = ["ForeignNames", "OptimizerCard", "Rate", "State", "Usual"]

_BLOCK = 256
"""Elements of an 8-bit state that share a scale, in bitsandbytes."""
_SCALE_BYTES = 4
_SMALLEST_ROUNDED = 4096
"""Elements from which bitsandbytes keeps a tensor's state in 8 bits; smaller ones stay in 32 (`min_8bit_size`)."""
_FP32 = 4


class State(NamedTuple):
    """What an optimizer keeps between steps, beside counters.

    Attributes:
        moments: Tensors of a weight's size that are kept for it.
        bits: Bits of each of their elements. States of 8 bits have a float32 scale for each block of 256 elements.
        passing: Tensors of a weight's size, as wide as the weight, that the step makes for one weight at a time.
        factored: Whether a matrix has one mean for each row and each column in place of a tensor of its size.
        needs_momentum: Whether nothing is kept where `momentum` is 0.
        outside_layers: Moments of weights outside the model's layers, and of those that are no matrices.
    """

    moments: int
    bits: Literal[8, 16, 32]
    factored: bool
    needs_momentum: bool
    outside_layers: int
    passing: int

    def bytes_per_weight(self, *, width: int, momentum: float, share_in_layers: float) -> float:
        """Bytes for each trained weight, on average.

        Args:
            width: Rows and columns of a typical matrix, which decide about factored states.
            momentum: The recipe's.
            share_in_layers: Share of the trained weights that are matrices in the model's layers, from 0 to 1.
        """
        if self.needs_momentum and not momentum:
            return 0.0
        if self.factored:
            return 2 * _FP32 / max(1, width)
        moments = self.outside_layers + (self.moments - self.outside_layers) * share_in_layers
        return moments * self.bits / 8 + self.scale_bytes_per_weight

    @property
    def scale_bytes_per_weight(self) -> float:
        """Bytes of scales for each trained weight. Paged optimizers keep them on the device."""
        return self.moments * _SCALE_BYTES / _BLOCK if self.bits == 8 else 0.0

    def bytes_of(self, shape: Sequence[int], *, momentum: float, in_layers: bool) -> int:
        """Bytes for one tensor, exactly, without counters.

        Args:
            shape: Of the trained tensor.
            momentum: The recipe's.
            in_layers: Whether it is a matrix in one of the model's layers.
        """
        size = math.prod(shape)
        if self.needs_momentum and not momentum:
            return 0
        if self.factored and len(shape) >= 2:
            return _FP32 * (math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1])
        moments = self.moments if in_layers else self.outside_layers
        if self.bits == 8 and size >= _SMALLEST_ROUNDED:
            return moments * (size + _SCALE_BYTES * math.ceil(size / _BLOCK))
        return moments * (_FP32 if self.bits == 8 else self.bits // 8) * size


class Usual(NamedTuple):
    """A hyperparameter's usual value for one optimizer, where that isn't the language's default.

    Attributes:
        name: Key under `train.optimizer`.
        value: The value.
        source: Where it is from, as a plan says it: `that of Lion's paper`.
    """

    name: str
    value: float
    source: str


class Rate(NamedTuple):
    """The usual learning rate beside AdamW's.

    Attributes:
        factor: Times AdamW's.
        reason: How a plan says it, `{}` standing for AdamW's; None where both are the same.
        range_known: Whether the range of rates that are usual with AdamW holds here as well.
    """

    factor: Fraction
    reason: str | None
    range_known: bool

    def beside(self, usual: float) -> float:
        """The usual rate, given AdamW's."""
        return usual * self.factor.numerator / self.factor.denominator


class ForeignNames(NamedTuple):
    """What other tools call an optimizer.

    Attributes:
        trainer: Values of `optim` in transformers' trainer, which TRL, Axolotl, LLaMA-Factory and Oumi hand on.
        component: Classes, as torchtune's configurations name them.
        values: Hyperparameters that these tools set otherwise than ftc unless told, by key, with the reason.
    """

    trainer: tuple[str, ...]
    component: tuple[str, ...]
    values: Mapping[str, tuple[float, str]]


class OptimizerCard(NamedTuple):
    """One optimizer.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        source: The paper.
        reads: Hyperparameters that it knows, beside the weight decay, which all know.
        usual: Values of its own. `beta2`, which every plan has, stands here for all.
        weights: Type of the weights that it trains without losing small updates.
        state: What it keeps between steps.
        paged: Whether the driver may move its state to the host's memory, which takes a GPU.
        fused: Whether torch has a fused kernel of it.
        package: The package that it is from.
        extra: The extra of `ftc` that installs this package.
        exact_on: Kinds of device on which two processes compute the same bits.
        rate: Its usual learning rate.
        whole_tensors: Why it can't work on parts of tensors, as with FSDP; None where it can.
        schedules: Learning rate schedules that it goes with; None for all.
        solver_on: Kinds of device on which the solver may take it by itself.
        uncounted: Work of its step that time estimates leave out, as a plan says it; None for nothing.
        is_auto: Whether `kind: auto` chooses among it and others.
        paged_as: The same arithmetic with a paged state.
        rounded_as: The same method with a state of 8 bits.
        names: What other tools call it.
    """

    kind: str
    label: str
    source: str
    reads: tuple[str, ...]
    usual: tuple[Usual, ...]
    weights: NumberType
    state: State
    paged: bool
    fused: bool
    package: str
    extra: str
    exact_on: frozenset[str]
    rate: Rate
    whole_tensors: str | None
    schedules: tuple[str, ...] | None
    solver_on: frozenset[str]
    uncounted: str | None
    is_auto: bool
    paged_as: str | None
    rounded_as: tuple[str, ...]
    names: ForeignNames

    @property
    def is_rounded(self) -> bool:
        """Whether its state is kept in fewer bits than the weights."""
        return self.state.bits < 8 * self.weights.size

    @property
    def splits_weights(self) -> bool:
        """Whether it treats matrices in layers otherwise than the rest."""
        return self.state.outside_layers != self.state.moments

    def usual_value(self, name: str) -> Usual | None:
        """Its own value of a hyperparameter; None where the language's default holds."""
        return next((one for one in self.usual if one.name == name), None)
