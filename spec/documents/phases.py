"""What each phase of a run took, beside what the plan expected of it."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document, Real
from ftc.spec.documents.estimates import Phase, SecondsRange

__all__ = ["PhaseMemory", "PhaseSeconds", "RunPhase"]

RunPhase = Literal["load", "resume", "train", "validate", "save", "export", "evaluate"]


class PhaseMemory(Document):
    """The most memory that one phase of the run used, over all of its stretches."""

    phase: RunPhase
    peak_bytes: int
    """In the sense of the record's `memory_method`."""
    reserved_bytes: int | None
    """What torch's allocator held on the card; None on a CPU."""
    planned_bytes: int | None = None
    """What the plan expected in the same sense; None where it has no such phase."""


class PhaseSeconds(Document):
    """How long one phase of the run took, over all of its stretches, beside what the plan expected of it."""

    phase: Phase
    seconds: Real
    planned: SecondsRange | None
    """None where nothing was known of the device's speed."""
