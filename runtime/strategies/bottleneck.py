"""Bottleneck adapters: small layers behind others, which peft doesn't have.

A hook puts each behind its layer, so that names and weights of the base stay as they are. It begins as the identity.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.models.base_model import Base, frozen_base, load_weights, trainable_tensors
from ftc.runtime.strategies.half import BESIDE_LAYERS, Half, require
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.documents.settings import Settings
from ftc.spec.module_names import role_of
from ftc.spec.strategies.bottleneck import BottleneckSettings, roles_of

__all__ = ["CONFIG_KEY", "Bottleneck", "OfBottleneck", "load_adapter"]

CONFIG_KEY = "ftc_adapter"
"""Key of `adapter_config.json` by which such an adapter is known."""
_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


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


class OfBottleneck(Half[BottleneckSettings]):
    """Small layers, put behind others by hooks."""

    def build(self, settings: Settings, strategy: BottleneckSettings, base: Base) -> nn.Module:
        """The frozen model with its adapters, which with a new head are trained in float32."""
        model: nn.Module = frozen_base(settings, base)
        roles = roles_of(strategy.placement)
        places = [
            name
            for name, module in model.named_modules()
            if role_of(name) in roles and hasattr(module, "weight") and not set(BESIDE_LAYERS) & set(name.split("."))
        ]
        require(len(places), strategy.num_modules, places, is_whole=base.is_whole)
        seed_everything(settings.seeds.init)
        _add(model, strategy, places)
        for name, parameter in model.named_parameters():
            if set(name.split(".")) & set(strategy.trained_modules):
                parameter.requires_grad_(True)
                parameter.data = parameter.data.float()
        return model

    def saved(self, model: nn.Module, strategy: BottleneckSettings) -> dict[str, torch.Tensor]:
        """All that was trained, by the model's names."""
        return {name: tensor.detach() for name, tensor in trainable_tensors(model).items()}

    def load(self, model: Any, strategy: BottleneckSettings, tensors: dict[str, torch.Tensor]) -> None:
        """By the model's names."""
        load_weights(model, tensors)

    def adapter_config(self, model: Any, strategy: BottleneckSettings) -> dict[str, Any]:
        """What `load_adapter` needs to know."""
        modules = [name for name, module in model.named_modules() if hasattr(module, "bottleneck")]
        return {CONFIG_KEY: "bottleneck", "settings": strategy.to_json(), "modules": modules}


def _add(model: nn.Module, settings: BottleneckSettings, places: list[str]) -> None:
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
        OSError: Its weights can't be read.
        ValueError: It isn't such an adapter, or another model's.
    """
    config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get(CONFIG_KEY) != "bottleneck":
        raise ValueError(f"{folder} contains no bottleneck adapter of ftc")
    settings = BottleneckSettings.model_validate_json(json.dumps(config["settings"]))
    _add(model, settings, config["modules"])
    tensors = read_tensors(Path(folder) / "adapter_model.safetensors")
    if unknown := set(tensors) - set(dict(model.named_parameters())):
        raise ValueError(f"the model has no {min(unknown)}")
    model.load_state_dict(tensors, strict=False)
    return model


def _through(layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
    changed: torch.Tensor = layer.bottleneck(output)
    return changed
