"""What a process takes beside its tensors: a driver's context on a card, interpreter and libraries on a CPU."""

from __future__ import annotations

from ftc.compiler.budget.devices import context_bytes
from ftc.compiler.budget.ranges import Context
from ftc.spec.calibration import Calibration
from ftc.spec.facts import DeviceFacts
from ftc.spec.memory import ByteRange

__all__ = ["context_of"]

_MIB = 2**20
_LOWEST_CONTEXT = 300 * _MIB
"""What is told of contexts on newer cards at the least."""
_UNKNOWN = (8, 0)
"""A card of unknown capability is taken for one of the larger contexts."""
_LIBRARIES = ByteRange(low=540 * _MIB, expected=580 * _MIB, high=640 * _MIB)
"""Resident set with torch, transformers, peft and the metric libraries imported, on Linux, x86-64, torch 2.13."""


def context_of(device: DeviceFacts, calibration: Calibration | None = None) -> Context:
    """The context of a process on a device.

    Args:
        device: What the plan is for.
        calibration: What was measured of it. Kernels that weren't used then can add as much as the table's range.
    """
    if device.kind == "cpu":
        return Context("libraries", _LIBRARIES)
    usual, high = context_bytes(device.capability or _UNKNOWN)
    measured = calibration.measured.context_bytes if calibration else None
    if calibration is None or measured is None:
        return Context("context", ByteRange(low=min(usual, _LOWEST_CONTEXT), expected=usual, high=high))
    size = ByteRange(low=measured, expected=measured, high=measured + high - usual)
    return Context("context", size, f"by calibration of {calibration.measured_at[:10]}")
