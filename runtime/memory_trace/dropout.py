"""Dropout as a card does it: one kernel, which keeps a truth value for each element.

Without memory torch takes the form for processors, which keeps a number in the elements' own type, up to four times as
much. Where something is dropped in place, a card takes that form, too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["CardDropout"]


class CardDropout(TorchFunctionMode):
    """Makes dropout the fused operator while it is active."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function; dropout as a card would."""
        if func is functional.dropout:
            options = {"tensor" if name == "input" else name: value for name, value in (kwargs or {}).items()}
            return _dropout(*args, **options)
        return func(*args, **(kwargs or {}))


def _dropout(tensor: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if not training or inplace or not 0 < p < 1 or not tensor.numel():
        return functional.dropout(tensor, p, training, inplace)
    dropped: torch.Tensor = torch.native_dropout(tensor, p, True)[0]
    return dropped
