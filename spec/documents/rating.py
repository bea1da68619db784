"""What people say of answers that they compare without knowing whose they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["CHOICES", "Agreement", "Choice", "Rating", "Tally", "WinRate"]

Choice = Literal["first", "second", "tie"]
"""Which of two contestants is better; the sides on which they stood don't count."""
CHOICES: tuple[Choice, ...] = ("first", "second", "tie")


class Rating(Document):
    """One decision, a line of a rater's file. A later one on the same row takes the place of an earlier one."""

    schema_: Literal["ftc.rating/1"] = Field(default="ftc.rating/1", alias="schema")
    row: int
    """Row number in the source, from 0."""
    choice: Choice | None
    """None takes back what was said of the row."""
    left: Literal["first", "second"]
    """Who stood on the left."""
    at: str
    """UTC, ISO 8601."""


class WinRate(Document):
    """How often the second contestant was preferred; a tie counts half."""

    rate: Real
    low: Real | None
    high: Real | None
    """Bounds of the 95 % interval over rows; None where the rows can't tell."""
    wins: int
    losses: int
    ties: int


class Agreement(Document):
    """Two raters on the rows that both rated."""

    raters: tuple[str, str]
    rows: int
    same: int
    """Rows of which both say the same."""
    kappa: Real | None
    """Cohen's kappa: agreement beyond chance, 1 at most; None where chance alone would always agree."""


class Tally(Document):
    """What all raters said."""

    schema_: Literal["ftc.rating-tally/1"] = Field(default="ftc.rating-tally/1", alias="schema")
    first: str
    second: str
    """Names of the contestants."""
    rows: int
    """Rows that can be rated."""
    same: int
    """Rows that nobody has to rate: both gave the same answer."""
    rated: int
    """Rows that somebody rated."""
    overall: WinRate | None
    """None where nothing is rated."""
    raters: dict[str, WinRate]
    left_chosen: int
    """Decisions for whoever stood on the left, of `decided`; far from half, the place decides and not the answer."""
    decided: int
    """Decisions that are no tie."""
    agreement: tuple[Agreement, ...]
