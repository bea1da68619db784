"""What models made of the test rows, row by row: what metrics are computed from, and what people rate."""

from __future__ import annotations

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["Outcome", "Said"]


class Said(Document):
    """What one model made of a row."""

    text: str | None
    """Its answer or class; None where the task has neither."""
    loss_sum: Real
    """Cross entropy in nats, summed over the row's targets."""
    targets: int
    """What the loss is summed over: supervised tokens, or one for a class."""
    confidence: Real | None = None
    """Probability of the class that it chose; None where no class is chosen."""


class Outcome(Document):
    """One row of the test split, a line of `predictions.ndjson`."""

    row: int
    """Row number in the source, from 0."""
    prompt: str
    """What the models were given."""
    expected: str | None
    """The row's own answer or class; None where the task has neither."""
    slices: dict[str, str] = Field(default_factory=dict)
    """Values of the columns that results are told apart by."""
    base: Said | None
    tuned: Said
