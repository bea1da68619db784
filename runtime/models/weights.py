"""Trainable weights in and out of a model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ftc.runtime.models.base_model import trainable_tensors
from ftc.runtime.models.sharding import split_like
from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["load_weights", "misfit"]


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Puts trainable weights, by the model's own names, into a model.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    parameters = trainable_tensors(model)
    if problem := misfit(parameters, {name: one.shape for name, one in weights.items()}):
        help = "move the run's folder away and apply again"
        raise Refusal([diagnostic("FTC630", "a checkpoint doesn't hold the model's weights", notes=problem, help=help)])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(split_like(weights[name], parameter))


def misfit(parameters: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]) -> str | None:
    """Why weights of such shapes are not those of a model's parameters, or None where they can be."""
    if others := sorted(parameters.keys() ^ shapes.keys()):
        return f"`{others[0]}` is in one of model and checkpoint alone"
    for name, parameter in parameters.items():
        if parameter.shape != shapes[name]:
            return f"`{name}` has shape {tuple(shapes[name])} instead of {tuple(parameter.shape)}"
    return None
