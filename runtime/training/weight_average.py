"""Averages of the trained weights: an exponential moving average, by torch's own rule, and the mean of checkpoints.

The loop adds the weights behind each step, and `optimizers.evaluating` shows the average wherever weights are measured
or saved. As in TensorFlow and diffusers the decay begins small, so that the first steps are soon forgotten. A mean of
the last checkpoints grows at these alone, with equal shares. Both are functions of the step alone, so that a resumed
run needs nothing but the tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ftc.spec.documents.settings import TrainSettings

__all__ = ["WeightAverage", "average_of", "decay_at", "share_at"]


def decay_at(step: int, limit: float) -> float:
    """Share of the average that stays at a step, counted from 0: none at the first, then ever more, up to a limit."""
    return min(limit, (1 + step) / (10 + step)) if step else 0.0


def share_at(step: int, train: TrainSettings) -> float | None:
    """Share of the mean of the last checkpoints that stays at a step, counted from 0; None where nothing is added.

    Until the first of these checkpoints the mean is the weights themselves.
    """
    assert train.average_checkpoints is not None, "a plan with a mean of checkpoints"
    every, done = train.evaluate_every_steps, step + 1
    if done % every and done != train.num_steps:
        return None
    number = -(-done // every) - (train.num_checkpoints - train.average_checkpoints)
    return max(0, number - 1) / max(1, number)


def average_of(parameters: Mapping[str, nn.Parameter], train: TrainSettings) -> WeightAverage | None:
    """The average that a plan has of its trained parameters; None for none."""
    if train.average_checkpoints is not None:
        return WeightAverage(parameters, partial(share_at, train=train), counts_steps=False)
    limit = train.ema_decay
    return None if limit is None else WeightAverage(parameters, partial(decay_at, limit=limit))


class WeightAverage:
    """The average, and the weights in training, of which one or the other is in the model.

    Args:
        parameters: What is trained, by name.
        share: How much of the average stays at a step, counted from 0; None where nothing is added.
        counts_steps: Whether only steps that moved the weights are added.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        share: Callable[[int], float | None],
        *,
        counts_steps: bool = True,
    ) -> None:
        self._parameters = tuple(parameters.values())
        self._share, self._counts_steps = share, counts_steps
        self._tensors: tuple[torch.Tensor, ...] = ()

    @property
    def pairs(self) -> tuple[tuple[nn.Parameter, torch.Tensor], ...]:
        """Each parameter with its average, or while the average is in the model, with its weights in training.

        Empty before the first step.
        """
        return tuple(zip(self._parameters, self._tensors, strict=False))

    def start(self) -> None:
        """Makes the weights that are in the model the average."""
        self._tensors = tuple(one.detach().clone() for one in self._parameters)

    def forget(self) -> None:
        """Drops the average; the next step begins a new one."""
        self._tensors = ()

    @torch.no_grad()
    def update(self, step: int, *, moved: bool = True) -> None:
        """Adds the weights behind a step, counted from 0, which may have moved none."""
        if self._counts_steps and not moved:
            return
        if not self._tensors:
            self.start()
        elif (share := self._share(step)) is not None:
            current = tuple(one.detach() for one in self._parameters)
            get_ema_multi_avg_fn(share)(self._tensors, current, step)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges both, bit by bit."""
        for parameter, other in self.pairs:
            held = parameter.detach().clone()
            parameter.copy_(other)
            other.copy_(held)
