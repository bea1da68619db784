"""BitFit: biases alone."""

from __future__ import annotations

from collections.abc import Container

from torch import nn

from ftc.runtime.strategies.full import OfWhole
from ftc.spec.strategies.bitfit import BitFitSettings

__all__ = ["OfBitFit"]


class OfBitFit(OfWhole[BitFitSettings]):
    """Biases."""

    def chosen(self, model: nn.Module, strategy: BitFitSettings) -> Container[str]:
        """Biases, and the new head whole."""
        head = set(strategy.trained_modules)
        parts = {name: name.split(".") for name, _ in model.named_parameters()}
        return {name for name, words in parts.items() if words[-1] == "bias" or head & set(words)}
