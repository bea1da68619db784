"""Rows of a token stream as people read them: each token with its text, and which of them are learned from."""

from __future__ import annotations

from ftc.spec.base import Document

__all__ = ["Token", "TokenizedRow", "TokenizedRows"]


class Token(Document):
    """One token of a row."""

    id: int
    piece: str
    """The text that it adds; empty where a character is not whole before the next token."""
    supervised: bool
    """Whether the loss is computed on it."""


class TokenizedRow(Document):
    """One row of a token stream."""

    row: int
    """Number of the row among those that were read, from 1."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`."""
    tokens: tuple[Token, ...]
    prompt_tokens: int
    """Tokens before the last supervised stretch; for a classification, tokens of the first text."""
    label: str | None
    """The class that is learned; None for tasks without."""
    sequences: tuple[int, ...] = ()
    """Tokens of each sequence that the model reads at once: two of a preference and of an encoder-decoder."""
    is_at_limit: bool
    """Whether a sequence of the row is as long as sequences may be, and so perhaps was cut."""

    @property
    def supervised(self) -> int:
        """Tokens that the loss is computed on."""
        return sum(token.supervised for token in self.tokens)


class TokenizedRows(Document):
    """Rows of one part of a plan's data."""

    split: str
    """The part, or the prompt baseline whose prompts the rows stand in."""
    rows: tuple[TokenizedRow, ...]
    of: int
    """Rows of the part."""
    cut: int
    """Rows of the part that were cut to the length."""
    max_length: int
    stop_ids: tuple[int, ...]
    """Tokens that end an answer when the model generates."""
