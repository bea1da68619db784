"""What a run's model says of rows that nobody has labeled: one prediction for each row that was given."""

from __future__ import annotations

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["FoundSpan", "RowPrediction"]


class FoundSpan(Document):
    """A span of a row's text: an entity, or the answer to a question."""

    label: str | None
    """The entity's type; None for an answer."""
    text: str
    start: int
    """First character in the row's text; words that were given as a list are joined by spaces."""
    end: int
    """The character after the last."""
    score: Real | None
    """Of an entity the lowest probability among its words; of an answer how much higher it scores than "no answer"."""


class RowPrediction(Document):
    """One row. Fields that its task has no use for are empty."""

    row: int
    """Number of the row as it was given, from 0."""
    prediction: str | None
    """Class, entities, answer or written text, as `predictions.ndjson` of the run has it; None where there is none."""
    problem: str | None = None
    """Why there is no prediction."""
    is_cut: bool = False
    """Whether the row was longer than the run's `max_length`, so that the model saw a part of it."""
    probability: Real | None = None
    """Of the class that was chosen."""
    probabilities: dict[str, Real] = Field(default_factory=dict)
    """By class; they add up to 1 where a row has one class, and are independent where it has several."""
    numbers: dict[str, Real] = Field(default_factory=dict)
    """By name, where the run predicts numbers; of each step of an answer how likely it is right, by its number."""
    vectors: tuple[tuple[Real, ...], ...] = ()
    """Of each text of a row, in the order in which the task names them, where the run turns texts into vectors."""
    labels: tuple[str, ...] | None = None
    """All classes of a row that may have several, or the tag of each word."""
    spans: tuple[FoundSpan, ...] | None = None
    """Entities of a text, or the answer's place."""
