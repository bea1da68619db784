"""Bytes that training moves between a device and anything else: the host's memory, and other devices of the run.

What devices exchange goes over NVLink where a card of the catalog has it for certain, else over PCI Express, which is
the slowest way there is. It is counted in bytes of PCI Express that take as long. So it is in what is expected and at
the most, and not in what is least, where it may hide behind arithmetic.
"""

from __future__ import annotations

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.search.device_catalog import UNKNOWN_CAPABILITY, host_link, peer_link
from ftc.compiler.search.optimizer_choice import bytes_per_weight, card_of
from ftc.compiler.time.network import Network
from ftc.spec.documents.estimates import Work
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.strategies import strategy_card

__all__ = ["exchanged", "moved_to_host"]

_FP32 = 4
_GATHERS = 2
"""Times that a layer is put together for each micro-batch: on the way there and on the way back."""
_STEP_ON_HOST = 28
"""Bytes of the host's memory that a step there reads and writes for each weight, beside what the optimizer keeps."""


def moved_to_host(draft: ClosedDraft, network: Network, passes: float, steps: int) -> Work:
    """What goes to the processor's memory and back: pages of the optimizer, or offloaded parts and the step on them.

    Args:
        draft: With a candidate.
        network: Its model.
        passes: Micro-batches of the run on one device.
        steps: Optimizer steps.
    """
    kept = bytes_per_weight(draft, card_of(draft))
    if card_of(draft).paged:
        return _host(2 * steps * kept * network.trainable)
    if draft.candidate.offload != "cpu":
        return _host(0.0)
    devices = draft.candidate.devices
    parts = _GATHERS * passes * _weights(draft, network, _frozen_bytes(draft)) + passes * _FP32 * network.trainable
    stepped = steps * (_STEP_ON_HOST + 2 * kept) * network.trainable
    return _host((parts + stepped) / devices)


def exchanged(draft: ClosedDraft, network: Network, passes: float, steps: int) -> Work:
    """What a device sends to the others and gets from them; for the arguments see `moved_to_host`."""
    devices = draft.candidate.devices
    gradients = _FP32 * network.trainable
    match draft.candidate.sharding:
        case "ddp":
            moved = 2.0 * steps * gradients
        case "fsdp":
            half = 2 if draft.train.precision == "bfloat16" else _FP32
            whole = half * (draft.model.num_parameters + _beside(draft, network))
            moved = passes * (_GATHERS * whole + gradients)
        case _:
            moved = 0.0
    return _host(moved * (devices - 1) / devices * _slowness(draft.device))


def _slowness(device: DeviceFacts) -> float:
    """Seconds that a byte takes to another device, by those that it takes to the host."""
    capability = device.capability or UNKNOWN_CAPABILITY
    return host_link(capability) / peer_link(device.name, capability)


def _weights(draft: Draft, network: Network, frozen_bytes: int) -> float:
    """Bytes of all weights as their parts lie: trained ones in float32."""
    return frozen_bytes * draft.model.num_parameters + _FP32 * _beside(draft, network)


def _frozen_bytes(draft: Draft) -> int:
    is_whole = strategy_card(draft.strategy).is_whole
    return _FP32 if is_whole or draft.train.precision == "float32" else 2


def _beside(draft: Draft, network: Network) -> int:
    """Weights of an adapter, which are no part of the model."""
    return 0 if strategy_card(draft.strategy).is_whole else network.trainable


def _host(size: float) -> Work:
    return Work(flops=0.0, bytes=0.0, operations=0.0, host_bytes=size)
