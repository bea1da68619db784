"""The NVIDIA cards of this machine, asked of the driver's own library without torch.

The library is part of every driver, so no further package is needed. It knows all cards; `CUDA_VISIBLE_DEVICES`, which
hides some from CUDA, is applied here, because a plan must count what the run will see.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["LocalCard", "local_cards"]

_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_NAME_BYTES = 96


@dataclass(frozen=True, slots=True)
class LocalCard:
    """One card as the driver describes it."""

    label: str
    memory_bytes: int
    capability: tuple[int, int]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _NvmlError(Exception):
    """A call to the library failed."""


def local_cards(visible: str | None = None) -> list[LocalCard]:
    """The cards that CUDA would see, in its order; none without a driver.

    Args:
        visible: Content of `CUDA_VISIBLE_DEVICES`; None to look it up in the environment.
    """
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    try:
        with _session(library):
            return [_describe(library, handle) for handle in _handles(library, visible)]
    except (_NvmlError, AttributeError):  # a driver that is loaded but broken, or too old for a call
        return []


@contextmanager
def _session(library: ctypes.CDLL) -> Iterator[None]:
    _check(library.nvmlInit_v2())
    try:
        yield
    finally:
        library.nvmlShutdown()


def _check(status: int) -> None:
    if status != 0:
        raise _NvmlError(status)


def _handles(library: ctypes.CDLL, visible: str | None) -> Iterator[ctypes.c_void_p]:
    count = ctypes.c_uint()
    _check(library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
    names = [str(index) for index in range(count.value)] if visible is None else visible.split(",")
    for name in (name.strip() for name in names):
        handle = ctypes.c_void_p()
        if name.isdecimal() and int(name) < count.value:
            _check(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle)))
        elif not name.startswith(("GPU-", "MIG-")) or library.nvmlDeviceGetHandleByUUID(
            name.encode(), ctypes.byref(handle)
        ):
            return  # CUDA too ignores what follows a name that it doesn't know
        yield handle


def _describe(library: ctypes.CDLL, handle: ctypes.c_void_p) -> LocalCard:
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), _Memory()
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library.nvmlDeviceGetName(handle, name, ctypes.c_uint(_NAME_BYTES)))
    _check(library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)))
    _check(library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)))
    return LocalCard(name.value.decode("utf-8", "replace"), memory.total, (major.value, minor.value))
