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
    return NotImplemented


def _chooses(indices: Sequence[Any]) -> bool:
    """Whether a mask over rows and tokens is all that chooses."""
    first, *others = indices
    return first is not None and first.dtype == torch.bool and first.ndim > 1 and not any(others)
