"""Peak memory, as the system itself counts it, from one mark to the next."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

__all__ = ["MemoryPeak", "begin_stretch", "peak_memory"]

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"  # see proc(5), clear_refs: the peak of the resident set becomes what it is now


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


def _give_back() -> None:
    """Returns to the system what the C library keeps of freed tensors, which would count for whatever comes next."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc has it, and others don't
        trim(0)


def _peak_resident() -> int:
    status = _PROCESS / "status"
    if status.exists():  # getrusage would count the process that started this one, too
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
