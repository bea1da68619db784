"""Whether the model that the trace builds is the one whose weights are stored.

A configuration may say of its layers what ftc passes on to nobody, and then transformers builds others in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ftc.runtime.memory_trace.meta_model import model_config
from ftc.runtime.models.base_model import auto_class
from ftc.runtime.models.sharding import stacks_of
from ftc.spec.documents.memory_trace import TraceJob

__all__ = ["repeats_after", "require_stored_layers"]


def repeats_after(weights: Sequence[int]) -> int:
    """Layers after which what is stored of layers repeats, the first and the last group of so many left out."""
    for size in range(1, len(weights)):
        inner = range(size, len(weights) // size * size - 2 * size)
        if all(weights[layer] == weights[layer + size] for layer in inner):
            return size
    return max(1, len(weights))


def require_stored_layers(job: TraceJob, depths: Sequence[int]) -> None:
    """Compares the layers of a model that is so deep with those that are stored; its last one may be another.

    Raises:
        LookupError: They differ in the number of weights in their matrices.
    """
    if not job.layer_weights:
        return
    with torch.device("meta"):
        model = auto_class(job.settings).from_config(model_config(job.config, depths))
    for (name, layers), stored in zip(stacks_of(model), job.layer_weights, strict=True):
        for number, layer in enumerate(layers[: -1 if len(layers) < len(stored) else len(layers)]):
            if (built := _weights_in_matrices(layer)) != stored[number]:
                words = f"transformers builds `{name}.{number}` with {built} weights in matrices"
                raise LookupError(f"{words}, and the file holds {stored[number]}")


def _weights_in_matrices(layer: nn.Module) -> int:
    named = layer.named_parameters()
    return sum(one.numel() for name, one in named if name.endswith("weight") and one.dim() == 2)
