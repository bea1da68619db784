"""Why a model chose a class for a row, token by token."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document, Real

__all__ = ["LONGEST_ROW", "PATH_POINTS", "Attribution", "AttributionMethod", "TokenWeight"]

AttributionMethod = Literal["gradient_times_input", "integrated_gradients"]

PATH_POINTS = 8
"""Points of the path at which the gradient is taken, of Gauss and Legendre: with 64 the shares are nearly the same."""
LONGEST_ROW = 512
"""Tokens of a row; a backward pass of a longer one could take more memory than the plan has for measuring."""


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
