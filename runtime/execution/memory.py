"""Peak memory, as the system itself counts it, from one mark to the next."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

__all__ = ["MemoryPeak", "begin_stretch", "keeps_freed", "peak_memory"]

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"  # see proc(5), clear_refs: the peak of the resident set becomes what it is now
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # see mallopt(3)
_LARGEST_IN_HEAP = 32 * 2**20
"""Bytes of a piece from which glibc asks the system for it by itself, at the most: where its own adjusting ends."""


@dataclass(frozen=True, slots=True)
class MemoryPeak:
    """The most that was used since the last mark.

    Attributes:
        size: Bytes.
        method: What they measure.
        reserved: Bytes that torch's allocator held; None on a CPU.
    """

    size: int
    method: str
    reserved: int | None = None


def peak_memory(device: Literal["cpu", "cuda"]) -> MemoryPeak:
    """The peak since `begin_stretch`, or since the process began."""
    match device:
        case "cuda":
            reserved = torch.cuda.max_memory_reserved()
            return MemoryPeak(torch.cuda.max_memory_allocated(), "memory that torch allocated on the card", reserved)
        case "cpu":
            return MemoryPeak(_peak_resident(), "resident set of the process")


def begin_stretch(device: Literal["cpu", "cuda"]) -> bool:
    """Forgets the peak so far; tells whether the system can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return True
    _give_back()
    try:
        (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
    except OSError:  # another system, or a kernel without it
        return False
    return True


@contextmanager
def keeps_freed() -> Iterator[None]:
    """A block in which the C library keeps what is freed, as each layer wants again what the one before it let go.

    Left to itself it gives that back to the system, which clears each page before it lends it out again.
    """
    adjust = _of_glibc("mallopt")
    if adjust is None:
        yield
        return
    adjust(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
    adjust(_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:
        adjust(_TRIM_THRESHOLD, 2 * _LARGEST_IN_HEAP)


def _give_back() -> None:
    """Returns to the system what the C library keeps of freed tensors, which would count for whatever comes next."""
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function that glibc has and others don't; None where it isn't there."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _peak_resident() -> int:
    status = _PROCESS / "status"
    if status.exists():  # getrusage would count the process that started this one, too
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
