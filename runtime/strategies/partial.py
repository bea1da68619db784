"""Training a part of the model's own weights: its last layers, or its biases."""

from __future__ import annotations

from torch import nn

from ftc.spec.module_names import part_of
from ftc.spec.strategy_settings import BitFitSettings, PartialSettings

__all__ = ["choose_weights"]


def choose_weights(model: nn.Module, strategy: PartialSettings | BitFitSettings) -> None:
    """Lets the strategy's weights be trained, and no others."""
    chosen = _last_layers(model, strategy) if isinstance(strategy, PartialSettings) else _biases(model, strategy)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)


def _last_layers(model: nn.Module, strategy: PartialSettings) -> set[str]:
    parts = {name: part_of(name) for name, _ in model.named_parameters()}
    depths: dict[str, int] = {}
    for part in parts.values():
        depths[part.stack] = max(depths.get(part.stack, 0), part.layer + 1)
    chosen = set()
    for name, part in parts.items():
        if part.kind == "layer":
            is_chosen = strategy.layers == "all" or part.layer >= depths[part.stack] - strategy.layers
        else:
            is_chosen = part.kind == "output" or strategy.embeddings
        if is_chosen:
            chosen.add(name)
    return chosen


def _biases(model: nn.Module, strategy: BitFitSettings) -> set[str]:
    """Biases, and the new head whole."""
    return {
        name
        for name, _ in model.named_parameters()
        if name.rpartition(".")[2] == "bias" or set(name.split(".")) & set(strategy.trained_modules)
    }
