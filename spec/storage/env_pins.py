"""What the environment must say before Python and the libraries start, for a run whose every bit counts."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PINNED", "unpinned"]

PINNED = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    "MKL_DYNAMIC": "FALSE",
    "NCCL_ALGO": "Ring",
    "NVIDIA_TF32_OVERRIDE": "0",
    "OMP_DYNAMIC": "FALSE",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELIZM": "false",
}
"""Read once, when an interpreter, a pool of threads or a card starts; set later, they change nothing, in silence."""


def unpinned(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not as they must be, with what they must be."""
    return {name: value for name, value in PINNED.items() if environ.get(name) != value}
