"""Where a model's layers are."""

from __future__ import annotations

from torch import nn

__all__ = ["stacks_of"]


def stacks_of(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """The stacks of layers with their names: one, or an encoder's and a decoder's in the order in which they run.

    Raises:
        LookupError: The model has no such stack, or more of them.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    stacks = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and module and isinstance(module[0], GradientCheckpointingLayer)
    ]
    if len(stacks) not in (1, 2):
        raise LookupError(f"{type(model).__name__} has {len(stacks)} stacks of layers, not one or two")
    return sorted(stacks, key=lambda stack: "encoder" not in stack[0].split("."))
