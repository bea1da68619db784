"""What kernels on a card hold beside their results: memory that operators never mention.

Sources: torch's CUDA kernels for softmax, torch's defaults for cuBLAS workspaces, bitsandbytes' 4-bit product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ftc.runtime.memory_trace.tracker import Buffers

__all__ = ["card_buffers", "workspace_bytes"]

_MIB = 2**20
_aten = torch.ops.aten
_PRODUCTS = (_aten.addmm.default, _aten.baddbmm.default, _aten.bmm.default, _aten.linear.default, _aten.mm.default)


def card_buffers(capability: tuple[int, int]) -> Buffers:
    """What kernels hold, for CUDA."""
    before: dict[Any, Any] = {}
    if (quantized := getattr(torch.ops.bitsandbytes, "gemm_4bit", None)) is not None:
        before[quantized.default] = _gemm_4bit
    return Buffers(
        before=before,
        within={_aten._softmax_backward_data.default: _softmax_backward},
        products=frozenset((*_PRODUCTS, *before)),
        workspace=workspace_bytes(capability),
    )


def workspace_bytes(capability: tuple[int, int]) -> int:
    """torch's default cuBLAS workspace of one thread and stream."""
    return 32 * _MIB if capability >= (9, 0) else int(8.125 * _MIB)


def _softmax_backward(args: Sequence[Any]) -> Sequence[int]:
    """The product of gradient and output, in the output's type.

    Where scores of 16 bits were normalized in float32, tensors without memory show a copy in float32 that the card's
    fused conversion never makes; half of the buffer is in the log already.
    """
    output = args[1]
    assert isinstance(output, torch.Tensor)
    return (output.numel() * 4,)


def _gemm_4bit(args: Sequence[Any]) -> Sequence[int]:
    """The whole weight in the input's type, and its scales in float32, while many rows are multiplied."""
    inputs, _packed, (rows, columns), *_rest = args
    elements = int(rows) * int(columns)
    return elements // 64 * 4, elements * int(inputs.element_size())
