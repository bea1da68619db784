"""The seeds of a run's random streams."""

from __future__ import annotations

from typing import ClassVar

from ftc.spec.base import SparseDocument

__all__ = ["Seeds"]


class Seeds(SparseDocument):
    """One named random stream for each purpose, all derived from `train.seed`."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("sampling", "masking")

    init: int
    """Weights that are new: adapter and head."""
    order: int
    """Order of rows."""
    dropout: int
    sampling: int | None = None
    """Answers that are sampled in training; absent from the plan of any other task."""

    masking: int | None = None
    """Tokens that are masked, or missing, in training; absent likewise."""
