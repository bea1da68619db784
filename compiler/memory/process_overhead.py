"""What processes take beside the tensors of a step: a driver's context on a GPU, libraries on a CPU, and the host's RAM
where a model is divided: one process reads it there, and parts may stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.ranges import Context, process_range
from ftc.compiler.search.device_catalog import UNKNOWN_CAPABILITY, context_bytes
from ftc.compiler.search.optimizer_choice import bytes_per_weight, card_of
from ftc.compiler.strategies.trainable import num_trainable
from ftc.spec.documents.device import Calibration
from ftc.spec.documents.estimates import ByteRange
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.metrics import Need
from ftc.spec.strategies import strategy_card

__all__ = ["context_of", "host_bytes"]

_FP32 = 4
_MIB = 2**20
_LOWEST_CONTEXT = 300 * _MIB
"""What is told of contexts on newer cards at the least."""
_LIBRARIES = ByteRange(low=540 * _MIB, expected=580 * _MIB, high=640 * _MIB)
"""Resident set with torch, transformers, peft and the metric libraries imported, on Linux, x86-64, torch 2.13."""
_LIBRARIES_FOR_CARDS = ByteRange(low=1000 * _MIB, expected=1060 * _MIB, high=1140 * _MIB)
"""The same where torch is built for CUDA, whose libraries it loads on any machine; torch 2.15."""
_OF_CUDA = "nvidia-cudnn"
"""What the name of a package begins with that only such a build asks for."""


def context_of(
    device: DeviceFacts,
    calibration: Calibration | None = None,
    packages: Collection[str] = (),
    *,
    needs: Iterable[Need] = (),
) -> Context:
    """The context of a process on a device.

    Args:
        device: What the plan is for.
        packages: Normalized names of what is installed, which tells how torch is built.
        needs: Data that metrics take into memory.
        calibration: What was measured of it. Kernels that weren't used then can add as much as the table's range.
    """
    if device.kind == "cpu":
        is_for_cards = any(name.startswith(_OF_CUDA) for name in packages)
        libraries = _LIBRARIES_FOR_CARDS if is_for_cards else _LIBRARIES
        for need in needs:
            libraries = process_range(libraries, Context(need.data, need.memory))
        return Context("libraries", libraries)
    usual, high = context_bytes(device.capability or UNKNOWN_CAPABILITY)
    measured = calibration.measured.context_bytes if calibration else None
    if calibration is None or measured is None:
        return Context("context", ByteRange(low=min(usual, _LOWEST_CONTEXT), expected=usual, high=high))
    size = ByteRange(low=measured, expected=measured, high=measured + high - usual)
    return Context("context", size, f"by calibration of {calibration.measured_at[:10]}")


def host_bytes(draft: ClosedDraft) -> int:
    """Bytes that all processes of the machine take there together at the most; 0 where no model is divided.

    Loading: one of them holds the model, of which others get a layer at a time, on their devices. Parts that then stay
    take the place of what was read. Training, with parts in the host's memory: all parts together are one model, with
    its gradients and what the optimizer keeps.
    """
    if draft.candidate.sharding != "fsdp":
        return 0
    is_whole = strategy_card(draft.strategy).is_whole
    width = _FP32 if is_whole or draft.train.precision == "float32" else 2
    trained = num_trainable(draft)
    model = width * draft.model.num_parameters + (0 if is_whole else _FP32 * trained)
    kept = (_FP32 + bytes_per_weight(draft, card_of(draft))) * trained if draft.candidate.offload == "cpu" else 0
    return model + round(kept)
