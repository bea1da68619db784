"""Why a model chose a class for a row, token by token."""

from __future__ import annotations

from ftc.spec.base import Document, Real

__all__ = ["Attribution", "TokenWeight"]


class TokenWeight(Document):
    """A token and what it adds to the score of the class that was chosen."""

    text: str
    weight: Real


class Attribution(Document):
    """Why the tuned model chose a class for a row, by gradient times input on the token embeddings."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    label: str
    """The class that was chosen."""
    tokens: tuple[TokenWeight, ...]
