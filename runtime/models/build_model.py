"""From a plan to a model that can be trained: the base, and what its strategy does to it."""

from __future__ import annotations

import torch
from torch import nn

from ftc.runtime.models.base_model import (
    Base,
    FolderBase,
    keep_differentiable,
    load_base,
    quiet_transformers,
    trainable_tensors,
)
from ftc.runtime.strategies import half_of
from ftc.runtime.training.neftune import add_noise
from ftc.spec.documents.settings import Settings

__all__ = [
    "Base",
    "FolderBase",
    "build_model",
    "keep_differentiable",
    "load_base",
    "quiet_transformers",
    "trainable_tensors",
]


def build_model(settings: Settings, base: Base, device: torch.device) -> nn.Module:
    """The model as it is before the first step, on its device, in evaluation mode.

    Its new weights depend on `settings.seeds.init` and on nothing else.

    Raises:
        Refusal: The base can't be loaded, or it isn't the model that the plan describes.
    """
    model = half_of(settings.strategy).build(settings, settings.strategy, base)
    if settings.train.neftune_alpha is not None:
        add_noise(model, settings.train.neftune_alpha)
    placed: nn.Module = model.to(device).eval()
    return placed
