"""Chunks of the loss: how many of a chunk's positions have their losses computed at once.

The output layer wants many positions at a time, since each product reads all of its weights. Losses want few: they are
computed element by element from scores in float32, of which several copies are there at once.
"""

from __future__ import annotations

__all__ = ["compared_at_once"]

_SCORES = 2**23
"""Scores in float32 that are 32 MiB: enough for a card's kernels, and less than what a layer makes on its way."""


def compared_at_once(positions: int, vocabulary: int) -> int:
    """Positions of a chunk whose losses are computed at once; all where they are few.

    Args:
        positions: Of the chunk.
        vocabulary: Scores of each.
    """
    most = max(1, _SCORES // vocabulary)
    return min(positions, 1 << (most.bit_length() - 1))
