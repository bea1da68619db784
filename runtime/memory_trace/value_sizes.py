"""Operators whose result is as large as values say, for tensors without memory.

A class head of T5 or BART looks for the token that ends each row, and compares how many each row has. Rows of a plan
have one, since their tokenizer puts it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["sized_by_values"]

_aten = torch.ops.aten
_grouped = getattr(getattr(_aten, "_grouped_mm", None), "default", None)


def sized_by_values(func: Any, args: Sequence[Any]) -> Any:
    """What an operator gives on tensors without memory where only values could tell; NotImplemented for all others.

    Args:
        func: The operator.
        args: What it is given.
    """
    if func is _aten.unique_consecutive.default:  # every row has as many
        counted: torch.Tensor = args[0]
        nothing = counted.new_empty(0, dtype=torch.long)
        return counted.new_empty(counted.numel())[:1], nothing, nothing
    if func is _aten.index.Tensor and _chooses(args[1]):
        whole, mask = args[0], args[1][0]
        return whole.new_empty((mask.shape[0], *whole.shape[mask.ndim :]))
    if func is _grouped:
        return _grouped_product(*args[:3])
    return NotImplemented


def _grouped_product(one: torch.Tensor, other: torch.Tensor, ends: torch.Tensor | None = None) -> torch.Tensor:
    """The product of groups of rows with a matrix each, as experts have it; torch's own takes no float32 here.

    As large as if all rows were one group, so that no choice of experts changes it. A group is a part of what both have
    in common where both are matrices, as for the gradient of the weights.
    """
    shape = (*one.shape[:-1], other.shape[-1])
    if one.ndim == other.ndim == 2:
        assert ends is not None, "groups have ends"
        shape = (len(ends), *shape)
    elif one.ndim == 3 and other.ndim == 2:
        shape = shape[1:]
    return one.new_empty(shape)


def _chooses(indices: Sequence[Any]) -> bool:
    """Whether a mask over rows and tokens is all that chooses."""
    first, *others = indices
    return first is not None and first.dtype == torch.bool and first.ndim > 1 and not any(others)
