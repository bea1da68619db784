"""What kernels on a card hold beside their results: memory that operators never mention.

Sources: torch's CUDA kernels for softmax, torch's defaults for cuBLAS workspaces, bitsandbytes' 4-bit product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ftc.runtime.trace.tracker import Buffers, StorageTracker

__all__ = ["card_buffers", "log_workspaces", "workspace_bytes"]

_MIB = 2**20


def card_buffers() -> Buffers:
    """Bytes by operator, for CUDA."""
    found: dict[Any, Any] = {torch.ops.aten._softmax_backward_data.default: _softmax_backward}
    quantised = getattr(torch.ops.bitsandbytes, "gemm_4bit", None)
    if quantised is not None:
        found[quantised.default] = _gemm_4bit
    return found


def workspace_bytes(capability: tuple[int, int]) -> int:
    """torch's default cuBLAS workspace of one thread and stream."""
    return 32 * _MIB if capability >= (9, 0) else int(8.125 * _MIB)


def log_workspaces(tracker: StorageTracker, capability: tuple[int, int]) -> None:
    """The forward and the backward thread have one each, from their first product on; for good."""
    for _ in range(2):
        tracker.hold(workspace_bytes(capability), "workspace")


def _softmax_backward(args: Sequence[Any], _result: Any) -> int:
    """The product of gradient and output, in the output's type.

    Where scores of 16 bits were normalised in float32, tensors without memory show a copy in float32 that the card's
    fused conversion never makes; half of the buffer is in the log already.
    """
    output = args[1]
    assert isinstance(output, torch.Tensor)
    return output.numel() * 4


def _gemm_4bit(args: Sequence[Any], _result: Any) -> int:
    """The whole weight in the input's type, and its scales in float32, while many rows are multiplied."""
    inputs, _packed, (rows, columns), *_rest = args
    elements = int(rows) * int(columns)
    return elements * int(inputs.element_size()) + elements // 64 * 4
