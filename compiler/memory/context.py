"""What a process takes beside torch's tensors: its context or libraries, and what exchanges with other GPUs need."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ftc.compiler.draft import ClosedDraft
from ftc.spec.collectives import channels_of, communicator_bytes
from ftc.spec.devices import UNKNOWN_CAPABILITY, context_bytes
from ftc.spec.documents.calibration import Calibration
from ftc.spec.documents.estimates import NCCL_BUFFERS, ByteRange
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.metrics import Need
from ftc.spec.shardings import sharding_card
from ftc.spec.writers import writer_card

__all__ = ["Context", "answer_server", "context_of", "exchange_buffers", "process_range"]

_MIB = 2**20
_LOWEST_CONTEXT = 300 * _MIB
"""The smallest context that is reported of newer cards."""
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
            size = ByteRange(low=need.bytes_low, expected=need.bytes_expected, high=need.bytes_high)
            libraries = process_range(libraries, Context(need.data, size))
        return Context("libraries", libraries)
    usual, high = context_bytes(device.capability or UNKNOWN_CAPABILITY)
    measured = calibration.measured.context_bytes if calibration else None
    if calibration is None or measured is None:
        return Context("context", ByteRange(low=min(usual, _LOWEST_CONTEXT), expected=usual, high=high))
    size = ByteRange(low=measured, expected=measured, high=measured + high - usual)
    return Context("context", size, f"by calibration of {calibration.measured_at[:10]}")


class Context(NamedTuple):
    """What a process takes beside torch's tensors.

    Attributes:
        name: What it is, in a word.
        size: Bytes, as a range.
        source: Where it was measured, in words; empty where a usual size stands in.
    """

    name: str
    size: ByteRange
    source: str = ""


def exchange_buffers(draft: ClosedDraft) -> Context | None:
    """NCCL's buffers on each of several GPUs; None for one GPU, and on a CPU, where gloo has none to speak of.

    A communicator takes as many buffers as it has channels and neighbors. In a ring a process has one neighbor on each
    side, however many take part.
    """
    one, nodes = draft.candidate, draft.recipe.budget.nodes
    if draft.device.kind == "cpu" or one.devices == 1:
        return None
    card = sharding_card(one.sharding)
    count = card.communicators(one.devices, nodes, one.tensor_parallel) + (one.context_parallel > 1)
    each = communicator_bytes(channels_of(draft.device.name))
    size = ByteRange(low=count * each.low, expected=count * each.expected, high=count * each.high)
    return Context(NCCL_BUFFERS, size)


def answer_server(draft: ClosedDraft) -> Context | None:
    """What a server that the run starts beside itself may take; None where it starts none."""
    sampling = draft.recipe.task.sampling
    if sampling is None or (size := sampling.writer_memory) is None:
        return None
    return Context(f"{writer_card(sampling.writer).label} server", ByteRange(low=size, expected=size, high=size))


def process_range(reserved: ByteRange, *beside: Context) -> ByteRange:
    """What the process takes in all."""
    sizes = [reserved, *(one.size for one in beside)]
    return ByteRange(
        low=sum(one.low for one in sizes),
        expected=sum(one.expected for one in sizes),
        high=sum(one.high for one in sizes),
    )
