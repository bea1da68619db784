"""Loss scaling for float16 (Micikevicius et al. 2018), by torch's own `GradScaler`.

Gradients below float16's smallest number would become zero, so the loss is multiplied by a scale, and gradients are
divided by it before they are clipped. A scale that is too large overflows: that step is skipped, and the scale halves;
after many steps without an overflow it doubles.
"""

from __future__ import annotations

from typing import Any

import torch

from ftc.runtime.training.selection import LossScaleState
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.precisions import precision_card

__all__ = ["LossScale"]

_SMALLEST = 1.0
"""Scale below which a gradient overflows by itself, so that no scale helps."""


class LossScale:
    """The scale of the loss; without a precision that needs it 1, and nothing is divided or skipped.

    Args:
        is_on: Whether losses are scaled.
        device: Where they are.
    """

    def __init__(self, *, is_on: bool, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type, enabled=is_on)
        self.is_on = is_on
        if is_on:
            self._scaler.scale(torch.zeros((), device=device))  # from here on its state is on the device

    @classmethod
    def of(cls, train: TrainSettings, device: torch.device) -> LossScale:
        """As the plan's precision needs it."""
        return cls(is_on=precision_card(train.precision).scales_loss, device=device)

    @property
    def factor(self) -> float:
        """What losses are multiplied by, a power of two."""
        return float(self._scaler.get_scale())

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides the gradients of an optimizer by the scale, and notes whether any is not finite."""
        if self.is_on:
            self._scaler.unscale_(optimizer)

    def adapt(self) -> bool:
        """Sets the scale of the next step; returns whether a gradient of this one was not finite."""
        if not self.is_on:
            return False
        before = self.factor
        self._scaler.update()
        return self.factor < before

    @property
    def is_exhausted(self) -> bool:
        """Whether gradients overflow whatever the scale."""
        return self.is_on and self.factor < _SMALLEST

    @property
    def state(self) -> LossScaleState | None:
        """What a checkpoint keeps; None without scaling."""
        if not self.is_on:
            return None
        state: dict[str, Any] = self._scaler.state_dict()
        return LossScaleState(scale=state["scale"], steps_since_change=state["_growth_tracker"])

    def restore(self, state: LossScaleState | None) -> None:
        """Puts back what `state` gave."""
        if self.is_on and state is not None:
            known = self._scaler.state_dict()
            known |= {"scale": state.scale, "_growth_tracker": state.steps_since_change}
            self._scaler.load_state_dict(known)
