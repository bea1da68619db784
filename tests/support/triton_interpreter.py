"""Triton's interpreter for the kernels of liger-kernel: they run on a CPU, a program of a grid after the other.

The interpreter knows neither numbers that a kernel is called with as such, nor functions of CUDA's library, and takes
bfloat16 numbers for whole ones where it computes with them. Its own
copies of tensors are hidden from whoever watches what a step allocates. Importing this skips a test module elsewhere
than in the session that has the package, and where Triton doesn't interpret.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support.session_packages import package_of

norms = package_of("kernels", "liger_kernel.ops.rms_norm")
gates = package_of("kernels", "liger_kernel.ops.geglu")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("Triton interprets where TRITON_INTERPRET is set", allow_module_level=True)

import numpy as np  # noqa: E402
import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from torch.utils._python_dispatch import _disable_current_modes  # noqa: E402
from triton.runtime import interpreter  # noqa: E402

__all__ = ["interpreted"]

interpreted = True
"""Whether kernels are interpreted, which they are wherever this can be imported."""

_convert, _call = interpreter._implicit_cvt, interpreter.GridExecutor.__call__
_binary = interpreter.InterpreterBuilder.binary_op


def _with_numbers(value: Any) -> Any:
    if not isinstance(value, float):
        return _convert(value)
    return tl.tensor(interpreter.TensorHandle(np.array([value], dtype=np.float32), tl.float32), tl.float32)


def _unseen(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a kernel on copies: the interpreter keeps what it was given last."""
    copies: dict[int, tuple[Any, Any]] = {}

    def copied(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        storage = value.untyped_storage()
        _, copy = copies.setdefault(storage.data_ptr(), (storage, storage.clone()))
        return value.new_empty(0).set_(copy, value.storage_offset(), value.size(), value.stride())

    with _disable_current_modes(), torch.no_grad():
        _call(executor, *map(copied, args), **{name: copied(value) for name, value in kwargs.items()})
        for storage, copy in copies.values():
            storage.copy_(copy)


def _widened(builder: Any, one: Any, other: Any, operation: Any) -> Any:
    if one.dtype.scalar != tl.bfloat16:
        return _binary(builder, one, other, operation)
    found = _binary(builder, *(builder.cast_impl(each, tl.float32) for each in (one, other)), operation)
    return builder.cast_impl(found, tl.bfloat16) if found.dtype.scalar == tl.float32 else found


@triton.jit
def _tanh(x):  # type: ignore[no-untyped-def]
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _rsqrt(x):  # type: ignore[no-untyped-def]
    return tl.rsqrt(x)


interpreter._implicit_cvt = _with_numbers
interpreter.GridExecutor.__call__ = _unseen
interpreter.InterpreterBuilder.binary_op = _widened
gates.tanh, norms.rsqrt = _tanh, _rsqrt
