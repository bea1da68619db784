"""Which of several processes of one run this is, as launchers such as torchrun tell it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["is_follower"]


def is_follower(environ: Mapping[str, str]) -> bool:
    """Whether another process of the same run is its first one, which alone writes and speaks."""
    return environ.get("RANK", "0") not in ("", "0")
