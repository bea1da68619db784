"""Exponential moving average of the trained weights, by torch's own rule.

The loop adds the weights behind each step, and `optimizers.evaluating` shows the average wherever weights are measured
or saved. As in TensorFlow and diffusers the decay begins small, so that the first steps are soon forgotten; it is a
function of the step alone, so that a resumed run needs nothing but the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ftc.spec.documents.settings import TrainSettings

__all__ = ["WeightAverage", "average_of", "decay_at"]


def decay_at(step: int, limit: float) -> float:
    """Share of the average that stays at a step, counted from 0: none at the first, then ever more, up to a limit."""
    return min(limit, (1 + step) / (10 + step)) if step else 0.0


def average_of(parameters: Mapping[str, nn.Parameter], train: TrainSettings) -> WeightAverage | None:
    """The average that a plan has of its trained parameters; None for none."""
    return None if train.ema_decay is None else WeightAverage(parameters, train.ema_decay)


class WeightAverage:
    """The average, and the weights in training, of which one or the other is in the model.

    Args:
        parameters: What is trained, by name.
        limit: The largest decay.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], limit: float) -> None:
        self._parameters = tuple(parameters.values())
        self._limit = limit
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
    def update(self, step: int) -> None:
        """Adds the weights behind a step, counted from 0."""
        if not self._tensors:
            self.start()
        else:
            current = tuple(one.detach() for one in self._parameters)
            get_ema_multi_avg_fn(decay_at(step, self._limit))(self._tensors, current, step)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges both, bit by bit."""
        for parameter, other in self.pairs:
            held = parameter.detach().clone()
            parameter.copy_(other)
            other.copy_(held)
