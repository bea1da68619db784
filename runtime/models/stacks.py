"""Where a model's layers are."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

__all__ = ["stacks_of"]


def stacks_of(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """The stacks of layers with their names: one, or an encoder's and a decoder's in the order in which they run.

    Raises:
        LookupError: The model has no such stack, or more of them.
    """
    stacks = list(_checkpointed(model)) or list(_as_deep_as_said(model))
    if len(stacks) not in (1, 2):
        raise LookupError(f"{type(model).__name__} has {len(stacks)} stacks of layers, not one or two")
    return sorted(stacks, key=lambda stack: "encoder" not in stack[0].split("."))


def _checkpointed(model: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists of what transformers recomputes."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and module and isinstance(module[0], GradientCheckpointingLayer):
            yield name, module


def _as_deep_as_said(model: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists of one kind of module of which there are as many as the model has layers."""
    depth = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth and len({type(one) for one in module}) == 1:
            yield name, module
