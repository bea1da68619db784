"""The processor's memory beside a device without memory: what is copied there takes nothing of the device's.

Where the device is a card, a copy on the processor is a tensor of one number that claims its shape, so that a model of
any size can be read out and put back. Where the device is the processor itself, there is nothing to copy to.
"""

from __future__ import annotations

from typing import Any

import torch

from ftc.runtime.memory_trace.torch_internals import TorchDispatchMode

__all__ = ["Host"]

_aten = torch.ops.aten


class Host(TorchDispatchMode):
    """Answers copies from the device to the processor while it is active, inside of what counts storages.

    Args:
        is_device: Whether the processor is the device that tensors without memory stand for.
    """

    def __init__(self, *, is_device: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_device = is_device

    def tensor(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """What was read from a file: it lies with the processor."""
        return torch.empty(shape, dtype=dtype, device="meta") if self._is_device else _claimed(shape, dtype)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator, or says what a copy is."""
        kwargs = kwargs or {}
        if func is _aten._to_copy.default and args[0].is_meta and _is_processor(kwargs.get("device")):
            dtype = kwargs.get("dtype") or args[0].dtype
            return _aten.alias(args[0]) if self._is_device else _claimed(args[0].shape, dtype)
        if func is _aten.clone.default and _is_claimed(args[0]):
            return args[0]
        if func is _aten.lift_fresh.default and self._is_device and not args[0].is_meta:  # made of Python's numbers
            return torch.empty_like(args[0], device="meta")
        return func(*args, **kwargs)


def _claimed(shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros((), dtype=dtype, device="cpu").expand(shape)


def _is_claimed(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.numel() > 1 and not any(tensor.stride())


def _is_processor(device: torch.device | None) -> bool:
    return device is not None and device.type == "cpu"
