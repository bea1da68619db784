"""What a strategy does with torch, as the rest of the runtime asks for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from ftc.runtime.models.base_model import Base
from ftc.runtime.models.sharding import is_sharded, split_like
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies import StrategySettings
from ftc.spec.vision_models import VISION_MODELS

__all__ = ["BESIDE_LAYERS", "VISION_PARTS", "Half", "in_parts", "require", "require_weights"]

BESIDE_LAYERS = (
    *("pooler", "classifier", "classification_head", "pre_classifier", "qa_outputs", "score"),
    *("cls", "predictions", "lm_head", "head"),
    *("vocab_transform", "vocab_layer_norm", "generator_predictions"),
)
"""Modules beside the layers; a plan's adapters never mean them."""
VISION_PARTS = tuple(part for one in VISION_MODELS for part in one.parts)
"""Modules that read images, which a plan's adapters never mean either."""

S_contra = TypeVar("S_contra", bound=StrategySettings, contravariant=True)


class Half(ABC, Generic[S_contra]):
    """Builds the model that is trained, says what of it is the result, and puts a result back."""

    @abstractmethod
    def build(self, settings: Settings, strategy: S_contra, base: Base) -> nn.Module:
        """The model before its first step.

        Raises:
            Refusal: The base can't be loaded, or has other modules than the plan says (FTC625).
        """

    @abstractmethod
    def saved(self, model: nn.Module, strategy: S_contra) -> dict[str, torch.Tensor]:
        """What is saved of a trained model, by the names that others load it by."""

    @abstractmethod
    def load(self, model: Any, strategy: S_contra, tensors: dict[str, torch.Tensor]) -> None:
        """Puts what was saved into a model that is as it was before the first step."""

    @abstractmethod
    def adapter_config(self, model: Any, strategy: S_contra) -> dict[str, Any]:
        """What `adapter_config.json` says, beside the base's name; empty for a whole model."""


def in_parts(model: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as a divided model takes them; buffers, which it has whole, as they are."""
    if not is_sharded(model):
        return tensors
    buffers, parameters = dict(model.named_buffers()), dict(model.named_parameters())
    owners = {name.replace(".default.", "."): one for name, one in parameters.items()} | parameters  # by peft's names
    pattern = next(iter(parameters.values()))
    return {
        name: one if name in buffers else split_like(one, owners.get(name, pattern)) for name, one in tensors.items()
    }


def require(found: int, planned: int, names: list[str], *, is_whole: bool) -> None:
    """Compares the modules that a strategy finds with those that the plan counted, where the model has all layers.

    Raises:
        Refusal: FTC625, there are more or fewer.
    """
    if found == planned or not is_whole:
        return
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    summary = f"the plan adapts {planned} modules, but the model has {found} with these names"
    help = "plan again with the installed version of transformers"
    raise Refusal([diagnostic("FTC625", summary, notes=f"targets: {shown}", help=help)])


def require_weights(found: int, planned: int, patterns: str) -> None:
    """Compares the weights that patterns of names choose with those that the plan counted.

    Raises:
        Refusal: FTC625, there are more or fewer.
    """
    if found != planned:
        summary = f"the plan trains {planned:,} weights of the base model, but {found:,} of the loaded one fit"
        help = "plan again with the installed version of transformers"
        raise Refusal([diagnostic("FTC625", summary, notes=f"patterns: {patterns}", help=help)])
