"""Trainable weights in and out of a model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ftc.runtime.build_model import trainable_tensors

__all__ = ["load_weights"]


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Puts trainable weights, by the model's own names, into a model.

    Raises:
        ValueError: Names or shapes are not the model's.
    """
    parameters = trainable_tensors(model)
    if parameters.keys() != weights.keys():
        raise ValueError(f"other weights than the model's: {sorted(parameters.keys() ^ weights.keys())[:3]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != weights[name].shape:
                raise ValueError(f"{name}: {tuple(weights[name].shape)} instead of {tuple(parameter.shape)}")
            parameter.copy_(weights[name])
