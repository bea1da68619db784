"""What the benchmarks share: processes that are timed, a project to run in, and a loop to be compared with."""

from __future__ import annotations

__all__ = ["GIB"]

GIB = 2**30
"""Bytes."""
