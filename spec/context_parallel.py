"""Context parallelism: how the tokens of a row are dealt to the processes of a context group.

A causal token looks back alone, so that the end of a row costs most. A row is cut into twice as many chunks as there
are processes, and each gets one from the begin and one from the end, which together cost all of them the same.
"""

from __future__ import annotations

__all__ = ["chunk_tokens", "chunks_of", "row_shares", "tokens_of_a_process"]

_ALIGNED, _SHORT = 16, 64
"""Tokens to a multiple of which fused kernels lengthen masks, and of a chunk that is too short to be rounded."""


def row_shares(processes: int, context: int) -> int:
    """Into how many shares a step's rows are dealt: one for each process, or for each group of those that share rows.

    Args:
        processes: Of the run; one alone may stand for a group.
        context: How many of them share each row.
    """
    return max(1, processes // context)


def chunk_tokens(length: int, processes: int) -> int:
    """Tokens of each chunk of rows of a length; what the chunks have more than that is padding.

    Args:
        length: Tokens of the longest row of a micro-batch.
        processes: Of a context group.
    """
    chunk = -(-length // (2 * processes))
    return chunk if chunk < _SHORT else -(-chunk // _ALIGNED) * _ALIGNED


def chunks_of(process: int, processes: int) -> tuple[int, int]:
    """Numbers of the two chunks that a process of a context group has, counted from the begin of a row."""
    return process, 2 * processes - 1 - process


def tokens_of_a_process(length: int, processes: int) -> int:
    """Tokens of a row of a length that each process of a context group computes; all of them where it is alone."""
    return length if processes == 1 else 2 * chunk_tokens(length, processes)
