"""What a run is measured on beside its test split: which rows of `swaps.arrow` are which."""

from __future__ import annotations

from ftc.spec import canonical
from ftc.spec.base import Document

__all__ = ["Swapped", "swaps_digest"]


class Swapped(Document):
    """Test rows with words exchanged; `swaps.json` beside their stream."""

    pairs: tuple[tuple[str, str], ...]
    """Phrase, and what takes its place."""
    rows: tuple[int, ...]
    """Of each row of the stream, the row of the test stream that it comes from."""
    pair: tuple[int, ...]
    """Of each row of the stream, the pair that was exchanged in it."""


def swaps_digest(stream_digest: str, swapped: Swapped) -> str:
    """Digest of the exchanged rows: their tokens, and which rows and phrases they are."""
    return canonical.digest([stream_digest, swapped.digest()])
