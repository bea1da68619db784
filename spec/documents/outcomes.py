"""What models made of the test rows, row by row: what metrics are computed from, and what people rate."""

from __future__ import annotations

import math
from collections.abc import Collection

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["CONFIDENCE_BINS", "NO_ANSWER", "OTHER_LABEL", "Outcome", "Said", "as_label", "confidence_bin"]

OTHER_LABEL = "(no class)"
"""What stands for every answer that is none of the classes, where a model writes its label."""


def as_label(text: str, labels: Collection[str]) -> str:
    """The class that an answer names, with or without space around it; else `OTHER_LABEL`."""
    return next((name for name in (text, text.strip()) if name in labels), OTHER_LABEL)


NO_ANSWER = "(no answer)"
"""What stands for an answer that isn't there."""
CONFIDENCE_BINS = 15
"""Intervals in which confidence is held against the share of rows that are right: the number of Guo et al. 2017."""


def confidence_bin(confidence: float) -> int:
    """Number of the interval that a probability lies in, from 0; each is without its lower end."""
    return max(0, math.ceil(confidence * CONFIDENCE_BINS) - 1)


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
    predicted: tuple[Real, ...] = ()
    """Numbers of the classes or tags that it chose; of a pair the log-probabilities of both answers, and the margin."""


class Outcome(Document):
    """One row of the test split, a line of `predictions.ndjson`."""

    row: int
    """Row number in the source, from 0."""
    prompt: str
    """What the models were given."""
    expected: str | None
    """The row's own answer or class; None where the task has neither."""
    targets: tuple[int, ...] = ()
    """Numbers of the right classes or tags, where a row has several."""
    right: tuple[str, ...] = ()
    """All right answers, where a question may have several."""
    slices: dict[str, str] = Field(default_factory=dict)
    """Values of the columns that results are told apart by."""
    base: Said | None
    tuned: Said
