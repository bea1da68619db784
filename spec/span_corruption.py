"""Which spans of a text are missing and have to be written: a pure function of the row, and of a seed and a step.

As in T5's own code (Raffel et al. 2020, `random_spans_noise_mask`): a share of a row's tokens is missing, in spans of a
mean length, and what is left and what is missing are each divided at random. A row begins with what is left and ends
with what is missing. An encoder reads the row with a sentinel in the place of each span; a decoder writes each sentinel
and the span behind it. How many tokens each of the two has depends on the
row's length alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpanCounts", "Spans", "block_size", "fixed_spans", "span_counts", "step_spans"]


class Spans(Protocol):
    """How spans are taken out."""

    @property
    def share(self) -> float:
        """Share of a row's tokens that are missing."""
        ...

    @property
    def mean_length(self) -> float:
        """Tokens of a missing span on average."""
        ...

    @property
    def sentinels(self) -> Sequence[int]:
        """Tokens that stand for the first span, the second, and so on."""
        ...

    @property
    def end_id(self) -> int:
        """Token that ends what is read and what is written."""
        ...


class SpanCounts(NamedTuple):
    """How a row of some length is divided."""

    missing: int
    """Tokens that are missing."""
    spans: int
    """Spans that these are."""

    def num_read(self, length: int) -> int:
        """Tokens that the encoder reads of a row of so many, sentinels and end included."""
        return length - self.missing + self.spans + 1

    @property
    def num_written(self) -> int:
        """Tokens that the decoder writes, sentinels and end included."""
        return self.missing + self.spans + 1


def span_counts(length: int, share: float, mean_length: float) -> SpanCounts:
    """How many tokens of a row of two or more are missing, at least one and never all, and in how many spans."""
    missing = min(max(1, int(share * length + 0.5)), length - 1)
    return SpanCounts(missing, min(max(1, int(missing / mean_length + 0.5)), missing, length - missing))


def block_size(most: int, share: float, mean_length: float) -> int:
    """Tokens of the longest row of which neither side has more than `most`; 0 where no row is that short."""

    def fits(length: int) -> bool:
        counts = span_counts(length, share, mean_length)
        return max(counts.num_read(length), counts.num_written) <= most

    # Both sides never shrink as a row grows, and a row has no more tokens than both sides together.
    return max((length for length in range(2, 2 * most + 1) if fits(length)), default=0)


def step_spans(
    kept: NDArray[np.int32], spans: Spans, seed: int, step: int, row: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A row as a step of training reads and writes it: other spans are missing in each.

    Args:
        kept: (T,) its ids as they were.
        spans: How spans are taken out.
        seed: The plan's for missing tokens.
        step: The optimizer step, counted from 0.
        row: The row's place in its stream.

    Returns:
        (R + W,) ids that are read and then written, and which of them are written.
    """
    return _corrupted(kept, spans, np.random.PCG64([seed, step, row]))


def fixed_spans(kept: NDArray[np.int32], spans: Spans) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A row as it is measured: which spans are missing depends on its tokens alone."""
    digest = hashlib.sha256(kept.astype("<i4").tobytes()).digest()
    return _corrupted(kept, spans, np.random.PCG64(int.from_bytes(digest[:8], "little")))


def _corrupted(
    kept: NDArray[np.int32], spans: Spans, bits: np.random.PCG64
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    generator, counts = np.random.Generator(bits), span_counts(len(kept), spans.share, spans.mean_length)
    missing, left = (
        _division(generator, total, counts.spans) for total in (counts.missing, len(kept) - counts.missing)
    )
    read, written, at = list[int](), list[int](), 0
    for sentinel, skipped, taken in zip(spans.sentinels, left, missing, strict=False):
        begin, end = at + skipped, at + skipped + taken
        read += [*kept[at:begin].tolist(), sentinel]
        written += [sentinel, *kept[begin:end].tolist()]
        at = end
    ids = np.array([*read, spans.end_id, *written, spans.end_id], np.int32)
    return ids, np.arange(len(ids)) > len(read)


def _division(generator: np.random.Generator, total: int, parts: int) -> list[int]:
    """So many numbers of one or more with this sum, each way of them as likely as any other."""
    cuts = np.sort(generator.permutation(total - 1)[: parts - 1] + 1)
    sizes: list[int] = np.diff(np.concatenate(([0], cuts, [total]))).tolist()
    return sizes
