"""Cards that a plan can be made for without having one.

Memory is the nominal size in GiB from the vendor's specification. Drivers report less of the same card: an H100 of 80
GiB shows about 79.6, and cards whose error correction lives in their memory, such as a T4, up to 7 % less. A plan for
the machine at hand uses the driver's figure, one for the catalogue this one. bfloat16 runs at full speed from compute
capability 8.0 on.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CARDS", "Card", "has_bfloat16"]

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of card. `capability` is CUDA's (major, minor)."""

    label: str
    memory_gib: int
    capability: tuple[int, int]

    @property
    def memory_bytes(self) -> int:
        """Nominal memory in bytes."""
        return self.memory_gib * _GIB


def has_bfloat16(capability: tuple[int, int]) -> bool:
    """Whether a card of this compute capability has bfloat16 tensor cores."""
    return capability >= (8, 0)


CARDS: dict[str, Card] = {
    "rtx-3060-12gb": Card("NVIDIA GeForce RTX 3060", 12, (8, 6)),  # NVIDIA, GeForce RTX 3060 specifications
    "rtx-3090": Card("NVIDIA GeForce RTX 3090", 24, (8, 6)),  # NVIDIA, GeForce RTX 3090 specifications
    "rtx-4060-ti-16gb": Card("NVIDIA GeForce RTX 4060 Ti", 16, (8, 9)),  # NVIDIA, GeForce RTX 4060 Ti specifications
    "rtx-4070": Card("NVIDIA GeForce RTX 4070", 12, (8, 9)),  # NVIDIA, GeForce RTX 4070 specifications
    "rtx-4080": Card("NVIDIA GeForce RTX 4080", 16, (8, 9)),  # NVIDIA, GeForce RTX 4080 specifications
    "rtx-4090": Card("NVIDIA GeForce RTX 4090", 24, (8, 9)),  # NVIDIA, GeForce RTX 4090 specifications
    "rtx-5090": Card("NVIDIA GeForce RTX 5090", 32, (12, 0)),  # NVIDIA, GeForce RTX 5090 specifications
    "t4": Card("Tesla T4", 16, (7, 5)),  # NVIDIA, T4 data sheet
    "l4": Card("NVIDIA L4", 24, (8, 9)),  # NVIDIA, L4 data sheet
    "l40s": Card("NVIDIA L40S", 48, (8, 9)),  # NVIDIA, L40S data sheet
    "a10g": Card("NVIDIA A10G", 24, (8, 6)),  # NVIDIA, A10 data sheet; AWS, G5 instances
    "v100-16gb": Card("Tesla V100-SXM2-16GB", 16, (7, 0)),  # NVIDIA, V100 data sheet
    "a100-40gb": Card("NVIDIA A100-SXM4-40GB", 40, (8, 0)),  # NVIDIA, A100 data sheet
    "a100-80gb": Card("NVIDIA A100-SXM4-80GB", 80, (8, 0)),  # NVIDIA, A100 data sheet
    "h100-80gb": Card("NVIDIA H100 80GB HBM3", 80, (9, 0)),  # NVIDIA, H100 data sheet
    "h200": Card("NVIDIA H200", 141, (9, 0)),  # NVIDIA, H200 data sheet
}
"""Cards by the name that `budget.device` uses."""
