"""How intervals of measured values come about."""

from __future__ import annotations

from ftc.spec.base import Document

__all__ = ["Resampling"]


class Resampling(Document):
    """How intervals were computed, so that they can be computed again."""

    method: str
    """Name of the method, with a number that grows when the same rows would give another interval."""
    resamples: int
    seed: int
