"""Linear layers of a model that only measures, by the faster of a processor's two libraries.

torch multiplies float32 matrices by MKL, which takes its kernels of half the width where a processor isn't Intel's.
oneDNN, which torch brings along and uses for other types, goes by what the processor can do. Where that is AVX-512, its
product takes less than half the time of MKL's on AMD's processors that compute 512 bits at once, a tenth less on those
that take two turns (Zen 4), and no more elsewhere; weights stay where and what they are. The two round differently, so
that sums differ in the last digits, as they do between sizes of batches.

Training keeps torch's own way: oneDNN's product has no gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.models.sharding import is_sharded
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies import strategy_card

__all__ = ["faster_linears", "fold_adapter", "has_faster_linears"]


def has_faster_linears() -> bool:
    """Whether this processor and this torch have a faster way."""
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return is_wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def faster_linears(model: nn.Module) -> Iterator[None]:
    """Within the block, which has to be one without gradients, float32 layers on a processor go by oneDNN.

    Layers of other types, on other devices, of subclasses, and those that something else has wrapped stay as they are.
    """
    changed = [layer for layer in model.modules() if _is_plain(layer)] if has_faster_linears() else []
    for layer in changed:
        vars(layer)["forward"] = partial(_linear, layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


def fold_adapter(model: Any, settings: Settings) -> None:
    """Adds a low-rank adapter's products to the weights that they stand beside, for good, where both are as exact.

    Beside its layer each product costs two thin matrices and two passes over what comes out. In float32 the sum rounds
    as the layers do; in fewer bits it would say something else than the adapter that was saved, which stays beside.
    """
    is_low_rank = strategy_card(settings.strategy).folds_in and settings.train.precision == "float32"
    is_exact = all(part.dtype == torch.float32 for part in model.parameters())
    if is_low_rank and is_exact and not is_sharded(model) and not _adapts_what_is_shared(model):
        model.merge_adapter()


def _adapts_what_is_shared(model: Any) -> bool:
    """Whether weights with an adapter serve another layer too, which would hear of it: embeddings that also write."""
    holders = Counter(id(part) for layer in model.modules() for part in layer.parameters(recurse=False))
    adapted = (layer.get_base_layer() for layer in model.modules() if hasattr(layer, "get_base_layer"))
    return any(holders[id(part)] > 1 for layer in adapted for part in layer.parameters(recurse=False))


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32


def _linear(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """(..., out) of (..., in), as the layer would have it."""
    is_whole = type(layer.weight) is nn.Parameter  # a part of a sharded one is of another type
    if not is_whole or inputs.dtype != torch.float32 or inputs.numel() == 0 or torch.is_autocast_enabled("cpu"):
        return functional.linear(inputs, layer.weight, layer.bias)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, layer.weight, layer.bias, "none", [], "")
    return product
