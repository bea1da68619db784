"""What NCCL takes of a GPU's memory for exchanges with others, from its documented defaults and published logs.

A communicator has channels, and in each of them a buffer for each neighbor that sends to it, in three sizes, one for
each of its protocols (`src/init.cc`, `computeBuffSizes`): LL 512 KiB (8 lines x 512 threads x 8 steps x 16 B), LL128
4.69 MiB (120 elements x 640 threads x 8 steps x 8 B), and Simple 4 MiB (`NCCL_BUFFSIZE`). That is 9.19 MiB, in pages of
2 MiB; what it sends with takes a page more. The allocations that a log of eight H100 shows have these sizes, 10 and
2 MiB (github.com/NVIDIA/nccl/issues/1685).

ftc sets `NCCL_ALGO=Ring`, and since NCCL 2.22 other algorithms are connected when they are first used. So a ring is
expected, with one neighbor on each side; at the most a tree is connected as well, with another one up and one down.
Four A100 with both took 544 to 688 MiB for a communicator (issues/964), within that range.
"""

from __future__ import annotations

from typing import NamedTuple

from ftc.spec.documents.estimates import ByteRange
from ftc.spec.links import has_nvlink

__all__ = ["Channels", "channels_of", "communicator_bytes"]

_MIB = 2**20
_RECEIVING, _SENDING = 10 * _MIB, 2 * _MIB
_RING = _RECEIVING + _SENDING
_RING_AND_TREE = 3 * _RING


class Channels(NamedTuple):
    """How many channels a communicator has, as NCCL's logs show (`24 coll channels`).

    Attributes:
        low: The fewest that were seen.
        expected: What is usual.
        high: The most that were seen.
    """

    low: int
    expected: int
    high: int


_BY_NVLINK = Channels(low=16, expected=24, high=24)
"""24 on eight A100 SXM and on eight H100 SXM, 16 on three machines of eight H100 (issues/1453)."""
_BY_PCI_EXPRESS = Channels(low=2, expected=2, high=8)
"""2 on eight RTX 4090 (NVIDIA/nccl-tests/issues/307) and between machines (issues/133); 8 on two machines of two H20
without NVLink between processes (NVIDIA/nccl/issues/1189)."""
_UNKNOWN = Channels(low=_BY_PCI_EXPRESS.low, expected=_BY_NVLINK.expected, high=_BY_NVLINK.high)


def channels_of(name: str) -> Channels:
    """Of GPUs of one kind, by how they are linked; where that is unknown, the range covers both, the more expected."""
    linked = has_nvlink(name)
    return _UNKNOWN if linked is None else _BY_NVLINK if linked else _BY_PCI_EXPRESS


def communicator_bytes(channels: Channels) -> ByteRange:
    """What one communicator takes on each GPU."""
    return ByteRange(low=channels.low * _RING, expected=channels.expected * _RING, high=channels.high * _RING_AND_TREE)
