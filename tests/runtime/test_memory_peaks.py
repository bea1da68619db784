"""What a stretch of a run took, as the system counts it."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from ftc.runtime.memory import begin_stretch, peak_memory

_MIB = 2**20


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc gives back when asked"
)
def test_freed_tensors_dont_count_for_the_next_stretch() -> None:
    if not begin_stretch("cpu"):
        pytest.skip("this system keeps the peak")
    before = peak_memory("cpu").size
    small = [torch.zeros(4096) for _ in range(6000)]  # below the size that the C library asks the system for by itself
    last = torch.zeros(4096)  # what is freed lies below it, where the C library would keep it
    taken = peak_memory("cpu").size - before
    assert taken > 80 * _MIB
    small.clear()
    assert begin_stretch("cpu")
    assert peak_memory("cpu").size - before < taken / 2
    assert last.numel()
