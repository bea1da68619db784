"""Digests of rows, one by one and together. Nothing in a row is normalized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.in_processes import ranges, spread
from ftc.compiler.resolve.rows.spool import Spool, forget
from ftc.compiler.stages import advance
from ftc.spec.tasks.rows import ASKED_COLUMN

__all__ = [
    "Digests",
    "canonical_text",
    "digests_of_each",
    "example_digests",
    "first_equal",
    "in_order",
    "row_digests",
    "rows_digest",
    "unordered_digest",
]

_BYTES = 32


class Digests(Sequence[bytes]):
    """sha256 of rows, in their order: 32 bytes a row, many of them on disk.

    Args:
        data: The digests behind one another.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = memoryview(data)

    def __len__(self) -> int:
        return len(self.data) // _BYTES

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        at = range(len(self))[index] * _BYTES
        return bytes(self.data[at : at + _BYTES])

    def __iter__(self) -> Iterator[bytes]:
        data = self.data
        return (bytes(data[at : at + _BYTES]) for at in range(0, len(data), _BYTES))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(bytes.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def words(self) -> NDArray[np.uint64]:
        """(rows, 4) The digests as numbers, whose order is that of the bytes."""
        return np.frombuffer(self.data, ">u8").reshape(-1, 4)


def first_equal(digests: Digests) -> NDArray[np.int64]:
    """(rows,) For each row, the first row with the same digest."""
    words = digests.words()
    begins = words[:, 0].astype(np.uint64)
    order = np.argsort(begins, kind="stable")
    begins = begins[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = begins[1:] != begins[:-1]
    same = np.flatnonzero(~is_new)
    if (words[order[same]] != words[order[same - 1]]).any():  # two digests that begin alike
        order = np.lexsort(words.T[::-1])
        is_new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    heads = order[is_new]
    found = np.empty(len(order), np.int64)
    found[order] = heads[np.cumsum(is_new) - 1]
    forget(digests.data)
    return found


def in_order(digests: Digests, *before: NDArray[Any]) -> NDArray[np.int64]:
    """The numbers of values in the order of other values of theirs, and then of their digests."""
    words = digests.words()
    columns = [*before, words[:, 0].astype(np.uint64)]
    order = np.lexsort(columns[::-1])
    is_same = np.ones(max(0, len(order) - 1), np.bool_)
    for column in columns:
        ascending = column[order]
        is_same &= ascending[1:] == ascending[:-1]
    if is_same.any():
        order = np.lexsort((*words.T[::-1], *reversed(before)))
    forget(digests.data)
    return order


canonical_text: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode
"""A row or value as compact JSON with sorted keys: equal values give equal text."""


def row_digests(rows: Iterable[Mapping[str, Any]]) -> Digests:
    """sha256 of each row as compact JSON with sorted keys. Nothing in a row is normalized."""
    return digests_of_each(rows, lambda row: row)


def rows_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over rows in their order."""
    if not isinstance(digests, Digests):
        return hashlib.sha256(b"".join(digests)).hexdigest()
    found = hashlib.sha256(digests.data).hexdigest()
    forget(digests.data)
    return found


def unordered_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over the same rows in any order: a shuffled file has the same, a copied row another."""
    if not isinstance(digests, Digests):
        return rows_digest(sorted(digests))
    order, words, state = in_order(digests), digests.words(), hashlib.sha256()
    for piece in ranges(len(order)):
        state.update(np.ascontiguousarray(words[order[piece.start : piece.stop]]).view(np.uint8).data)
    forget(digests.data)
    return state.hexdigest()


def example_digests(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Digests:
    """sha256 of what the task reads of each row. Rows that differ only in other columns are the same example."""
    return digests_of_each(rows, lambda row: [*(row.get(one) for one in columns), *row.get(ASKED_COLUMN, ())])


def digests_of_each(rows: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Any]) -> Digests:
    """sha256 of what is read of each row, as compact JSON with sorted keys."""

    def of(some: Iterable[Mapping[str, Any]]) -> bytes:
        return b"".join([hashlib.sha256(canonical_text(read(row)).encode()).digest() for row in some])

    if not isinstance(rows, Sequence):
        return Digests(of(rows))
    pieces, digests = ranges(len(rows)), Spool()
    work = spread(len(pieces), lambda which: (of(rows[pieces[n].start : pieces[n].stop]) for n in which))
    for piece, some in zip(pieces, work, strict=True):
        digests.add(some)
        advance("hashing", len(piece))
    return Digests(digests.mapped("uint8").data)
