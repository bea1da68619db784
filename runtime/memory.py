"""Peak memory, as the system itself counts it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch

__all__ = ["peak_memory"]


def peak_memory(device: Literal["cpu", "cuda"]) -> tuple[int, str]:
    """Bytes at the peak of this process so far, and what they measure."""
    match device:
        case "cuda":
            return torch.cuda.max_memory_allocated(), "memory that torch allocated on the card"
        case "cpu":
            return _peak_resident(), "resident set of the process"


def _peak_resident() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
