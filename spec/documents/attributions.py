"""Why a model chose a class for a row, token by token."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document, Real

__all__ = ["Attribution", "AttributionMethod", "TokenWeight"]

AttributionMethod = Literal["gradient_times_input", "integrated_gradients"]


class TokenWeight(Document):
    """A token and what it adds to the score of the class that was chosen."""

    text: str
    weight: Real


class Attribution(Document):
    """Why the tuned model chose a class for a row, by gradients on the token embeddings."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    label: str
    """The class that was chosen."""
    tokens: tuple[TokenWeight, ...]
    method: AttributionMethod = "gradient_times_input"
    """How the weights were computed; the first one is of runs that don't say it."""
