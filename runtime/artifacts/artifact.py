"""What of a trained model is its result: which tensors are saved, and how they get back into a model.

An adapter is saved as it is and never merged into its base, so that nothing is computed and nothing is copied here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.checkpoint import Kept
from ftc.runtime.models.base_model import load_weights
from ftc.runtime.strategies import half_of
from ftc.spec.documents.settings import Settings

__all__ = ["artifact_tensors", "chosen_tensors", "load_artifact"]


def chosen_tensors(model: nn.Module, settings: Settings, chosen: Kept) -> dict[str, torch.Tensor]:
    """What is saved of a model once it holds the weights that training chose.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, chosen.weights())
    return artifact_tensors(model, settings)


def artifact_tensors(model: nn.Module, settings: Settings) -> dict[str, torch.Tensor]:
    """What is saved: an adapter, or all weights with shared ones once."""
    return half_of(settings.strategy).saved(model, settings.strategy)


def load_artifact(model: Any, settings: Settings, tensors: dict[str, torch.Tensor]) -> None:
    """Puts what was saved into a model that is as it was before the first step."""
    half_of(settings.strategy).load(model, settings.strategy, tensors)
