"""peft's further adapters on linear layers, which differ in their configurations alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.base_model import Base
from ftc.runtime.strategies.half import require
from ftc.runtime.strategies.lora import targeted
from ftc.runtime.strategies.with_peft import OfPeft, peft_config
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.on_linear import OnLinearSettings

__all__ = ["OfLinear"]


class OfLinear(OfPeft[OnLinearSettings]):
    """An adapter on the linear layers that the plan names."""

    def config(
        self, peft: ModuleType, model: Any, settings: Settings, strategy: OnLinearSettings, *, is_whole: bool
    ) -> Any:
        """peft's configuration. Full names, since not every method can leave modules out."""
        targets, _ = targeted(model, strategy.targets, strategy.trained_modules)
        require(len(targets), strategy.num_modules, list(strategy.targets), is_whole=is_whole)
        return peft_config(peft, settings, strategy, target_modules=sorted(targets))

    def build(self, settings: Settings, strategy: OnLinearSettings, base: Base) -> nn.Module:
        """peft's model."""
        with _without_warnings():
            return super().build(settings, strategy, base)

    def load(self, model: Any, strategy: OnLinearSettings, tensors: dict[str, torch.Tensor]) -> None:
        """The adapter by peft's names."""
        with _without_warnings():
            super().load(model, strategy, tensors)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """A block in which peft says nothing of values that the plan has settled."""
    with warnings.catch_warnings():
        for start in ("Invalid `oft_block_size`", "fan_in_fan_out is set to", "Specified to not "):
            warnings.filterwarnings("ignore", message=start)
        yield
