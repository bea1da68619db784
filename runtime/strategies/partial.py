"""Partial training: the last layers and what follows them."""

from __future__ import annotations

from collections.abc import Container

from torch import nn

from ftc.runtime.strategies.full import OfWhole
from ftc.spec.strategies.partial import PartialSettings, depths_of

__all__ = ["OfPartial"]


class OfPartial(OfWhole[PartialSettings]):
    """The last layers of each stack."""

    def chosen(self, model: nn.Module, strategy: PartialSettings) -> Container[str]:
        """By the names of the weights, as the plan counted them."""
        names = [name for name, _ in model.named_parameters()]
        depths = depths_of(names)
        return {name for name in names if strategy.is_trained(name, depths)}
