"""Marks a model's parts in the log: embedding, groups of layers, head, and the same on the way back.

Hooks on modules mark the way forward. On the way back a tensor's hook runs when the gradient of that tensor is
complete, which is just when the layer that made it begins; unlike a module's backward hook it adds nothing to the
graph, so that watching changes no byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftc.runtime.trace.tracker import StorageTracker

__all__ = ["Groups", "layers_of", "mark"]


@dataclass(frozen=True, slots=True)
class Groups:
    """How layers form groups that repeat.

    Attributes:
        period: Layers of a group, after which kinds of layers repeat.
        count: Groups that are traced; the last one also takes the layers that don't fill a group.
        of_model: Groups of the whole model.
    """

    period: int
    count: int
    of_model: int

    def of(self, layer: int) -> int:
        """The group of a layer."""
        return min(layer // self.period, self.count - 1)

    def last_layer(self, group: int, num_layers: int) -> int:
        """The last layer of a group."""
        return num_layers - 1 if group == self.count - 1 else (group + 1) * self.period - 1


def layers_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The stack of layers, with its name.

    Raises:
        LookupError: The model has no single such stack.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    stacks = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and module and isinstance(module[0], GradientCheckpointingLayer)
    ]
    if len(stacks) != 1:
        raise LookupError(f"{type(model).__name__} has {len(stacks)} stacks of layers instead of one")
    return stacks[0]


class _Marks:
    def __init__(self, tracker: StorageTracker, groups: Groups, num_layers: int) -> None:
        self.tracker, self.groups, self.num_layers = tracker, groups, num_layers

    @property
    def recomputing(self) -> bool:
        return self.tracker.log.sections[-1].is_backward

    @property
    def prefix(self) -> str:
        return "forward" if torch.is_grad_enabled() else "evaluation"

    def enter_model(self, *_: Any) -> None:
        self.tracker.section(f"{self.prefix}: embedding")

    def enter_layer(self, layer: int, hidden: Any) -> None:
        if self.recomputing:
            return
        if layer == 0:
            self._on_gradient(hidden, "backward: embedding", None)
        self.tracker.section(f"{self.prefix}: layers", self.groups.of(layer))

    def leave_layer(self, layer: int, output: Any) -> None:
        if self.recomputing:
            return
        group = self.groups.of(layer)
        if layer == self.groups.last_layer(group, self.num_layers):
            self._on_gradient(output, "backward: layers", group)
        if layer == self.num_layers - 1:
            self.tracker.section(f"{self.prefix}: head")

    def _on_gradient(self, output: Any, name: str, group: int | None) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _: self.tracker.section(name, group))


def mark(tracker: StorageTracker, model: nn.Module, groups: Groups) -> None:
    """Hooks the marks into a model, for good."""
    _, layers = layers_of(model)
    marks = _Marks(tracker, groups, len(layers))
    model.register_forward_pre_hook(marks.enter_model)
    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, n=number: marks.enter_layer(n, _hidden(args, kwargs)), with_kwargs=True
        )
        layer.register_forward_hook(lambda _, args, output, n=number: marks.leave_layer(n, output))


def _hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("hidden_states")
