"""What processes of a run are told: which of several this is, and what must hold before Python starts."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PINNED", "is_follower", "unpinned"]


def is_follower(environ: Mapping[str, str]) -> bool:
    """Whether another process of the same run is its first one, which alone writes and speaks."""
    return environ.get("RANK", "0") not in ("", "0")


PINNED = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    "MKL_DYNAMIC": "FALSE",
    "NCCL_ALGO": "Ring",
    "NVIDIA_TF32_OVERRIDE": "0",
    "OMP_DYNAMIC": "FALSE",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Read once, when an interpreter, a pool of threads or a card starts; set later, they change nothing, in silence."""


def unpinned(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not as they must be, with what they must be."""
    return {name: value for name, value in PINNED.items() if environ.get(name) != value}
