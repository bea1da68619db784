"""How fast a GPU reaches the host and other GPUs of its machine."""

from __future__ import annotations

from ftc.spec.devices import CARDS

__all__ = ["has_nvlink", "host_link", "peer_link"]

_GIGA = 10**9
_LANES = {3: 15_750_000_000, 4: 31_500_000_000, 5: 63_000_000_000}
"""Bytes a second of 16 lanes by generation, one way."""


def host_link(capability: tuple[int, int]) -> int:
    """Bytes a second of 16 lanes of the PCI Express generation that cards of a compute capability have, one way."""
    generation = 3 if capability < (8, 0) else 4 if capability < (9, 0) else 5
    return _LANES[generation]


_NVLINK = {"a100-40gb": 300, "a100-80gb": 300, "h100-80gb": 450, "h200": 450, "h20": 450}
"""GB/s one way between two such cards of one board, half of what their data sheets tell for both ways: NVIDIA A100
(600 GB/s), H100 SXM, H200 SXM and H20 (900 GB/s)."""
_MAYBE_NVLINK = frozenset(
    (
        *("rtx-2080-ti", "rtx-3090", "rtx-3090-ti", "rtx-a5000", "rtx-a6000", "v100-16gb", "v100-32gb", "a30", "a40"),
        *("a100-40gb-pcie", "a100-80gb-pcie", "h100-pcie", "h100-nvl", "gh200-96gb", "b200"),
    )
)
"""Cards that have NVLink in some machines: by a bridge between two of them, or on a board of their own."""


def has_nvlink(name: str) -> bool | None:
    """Whether such cards of a machine are linked by NVLink; None where machines differ or the card isn't known."""
    if name in _NVLINK:
        return True
    return False if name in CARDS and name not in _MAYBE_NVLINK else None


def peer_link(name: str, capability: tuple[int, int]) -> int:
    """Bytes a second one way between two such cards of a machine: by NVLink where the card's form has it for certain,
    else by PCI Express.
    """
    return _NVLINK[name] * _GIGA if name in _NVLINK else host_link(capability)
