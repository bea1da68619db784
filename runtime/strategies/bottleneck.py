"""Bottleneck adapters: small layers behind others, which peft doesn't have.

A hook puts each behind its layer, so that names and weights of the base stay as they are. It begins as the identity.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.spec.module_names import role_of
from ftc.spec.strategy_settings import BottleneckSettings

__all__ = ["CONFIG_KEY", "Bottleneck", "add_bottlenecks", "load_adapter", "places_of", "saved_config"]

CONFIG_KEY = "ftc_adapter"
"""Key of `adapter_config.json` by which such an adapter is known."""
_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
_BEHIND = {"pfeiffer": ("feed_forward_out",), "houlsby": ("attention_out", "feed_forward_out")}


class Bottleneck(nn.Module):
    """(..., H) states to states of the same shape, through a narrow middle.

    Args:
        width: H.
        size: Width of the middle.
        activation: Its name.
    """

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, size)
        self.activation = _ACTIVATIONS[activation]()
        self.up = nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The states, and what the middle makes of them."""
        changed: torch.Tensor = hidden + self.up(self.activation(self.down(hidden)))
        return changed


def places_of(model: nn.Module, placement: str, others: tuple[str, ...] = ()) -> list[str]:
    """Full names of the layers that get one; `others` are modules beside the layers, such as a head."""
    roles = _BEHIND[placement]
    return [
        name
        for name, module in model.named_modules()
        if role_of(name) in roles and hasattr(module, "weight") and not set(others) & set(name.split("."))
    ]


def add_bottlenecks(model: nn.Module, settings: BottleneckSettings, places: list[str]) -> None:
    """Puts one behind each of these layers, for good; nothing else of the model changes."""
    for name in places:
        layer = model.get_submodule(name)
        is_turned = type(layer).__name__ == "Conv1D"  # its weight is (inputs, outputs)
        weight: Any = layer.weight
        layer.bottleneck = Bottleneck(weight.shape[1 if is_turned else 0], settings.size, settings.activation)
        layer.register_forward_hook(_through)


def load_adapter(model: nn.Module, folder: str | Path) -> nn.Module:
    """Adds a saved adapter, and the head that was trained with it, to its base model.

    Raises:
        ValueError: It isn't such an adapter, or another model's.
    """
    from safetensors.torch import load_file

    config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get(CONFIG_KEY) != "bottleneck":
        raise ValueError(f"{folder} holds no bottleneck adapter of ftc")
    settings = BottleneckSettings.model_validate_json(json.dumps(config["settings"]))
    add_bottlenecks(model, settings, config["modules"])
    tensors = load_file(Path(folder) / "adapter_model.safetensors")
    if unknown := set(tensors) - set(dict(model.named_parameters())):
        raise ValueError(f"the model has no {min(unknown)}")
    model.load_state_dict(tensors, strict=False)
    return model


def saved_config(model: nn.Module, settings: BottleneckSettings) -> dict[str, Any]:
    """What `adapter_config.json` says of the adapters in a model."""
    modules = [name for name, module in model.named_modules() if hasattr(module, "bottleneck")]
    return {CONFIG_KEY: "bottleneck", "settings": settings.to_json(), "modules": modules}


def _through(layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
    changed: torch.Tensor = layer.bottleneck(output)
    return changed
