"""What a stretch of a run took, as the system counts it."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from ftc.runtime.execution.machine import begin_stretch, keeps_freed, peak_memory

_MIB = 2**20


needs_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc gives back when asked"
)


@needs_glibc
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


@needs_glibc
def test_what_layers_let_go_stays_for_the_next_ones() -> None:
    import resource

    def layer() -> None:
        states = [torch.ones(24 * _MIB // 4) for _ in range(4)]
        states.clear()

    with keeps_freed():
        layer()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        layer()
        cleared = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert cleared < 4 * 24 * _MIB / 4096 / 10, "pages that the system had to clear again"
