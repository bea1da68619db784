"""Rows as a sequence that holds them as JSON and parses a row when it is asked for.

A data file may be larger than memory: of each row, eight bytes stay there, and its JSON is in a `Spool`.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.in_processes import frame, ranges, spread, unframed
from ftc.compiler.resolve.rows.spool import Spool
from ftc.compiler.stages import advance

__all__ = ["AS_IT_IS", "Row", "RowWriter", "StoredRows", "rewrite", "some_of", "stored", "written"]

Row = dict[str, Any]
"""Values by column: text, numbers, booleans, None, and lists and dicts of these."""

AS_IT_IS = object()
"""What a change gives that left a row as it is, so that its JSON stays too."""
_PIECE_BYTES = 1 << 20
_ROWS_AT_ONCE = 256
_ROWS_TOLD = 1024
_text_of = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class RowWriter:
    """Takes rows one by one; `rows` gives them as a sequence."""

    def __init__(self) -> None:
        self._pieces = Spool()
        self._starts = array("q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, row: Row) -> None:
        """Puts a row behind the others."""
        self.add_json(_json(row))

    def add_json(self, data: bytes) -> None:
        """Puts a row behind the others that is JSON already, of one object."""
        data += b","
        self._pieces.add(data)
        self._starts.append(self._starts[-1] + len(data))
        if len(self) % _ROWS_TOLD == 0:
            advance("reading", _ROWS_TOLD)

    def add_parts(self, lengths: Sequence[int], rows: bytes) -> None:
        """Puts rows behind the others that are JSON already, a comma behind each, of these lengths with it."""
        self._pieces.add(rows)
        self._starts.frombytes((np.cumsum(lengths, dtype=np.int64) + self._starts[-1]).tobytes())

    def rows(self) -> StoredRows:
        """The rows that were added."""
        self._pieces.settle()
        return StoredRows(self._pieces, np.frombuffer(self._starts, np.int64))


class StoredRows(Sequence[Row]):
    """Rows that are parsed again whenever they are asked for; `rewrite` alone changes them.

    Args:
        pieces: Their JSON, a comma behind each.
        starts: (rows + 1,) Where each begins.
        numbers: (rows,) Which of them these are, in their order; None for all.
    """

    __slots__ = ("_numbers", "_pieces", "_starts")

    def __init__(self, pieces: Spool, starts: NDArray[np.int64], numbers: NDArray[np.int64] | None = None) -> None:
        self._pieces, self._starts, self._numbers = pieces, starts, numbers

    def __len__(self) -> int:
        return len(self._starts) - 1 if self._numbers is None else len(self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(dict.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return list(self.some(range(len(self))[index]))
        place = range(len(self))[index]  # counts from behind, too, and raises
        return self._parsed(self._which(place, place + 1))[0]

    def __iter__(self) -> Iterator[Row]:
        begin = 0
        while begin < len(self):
            which = self._which(begin, min(len(self), begin + _ROWS_AT_ONCE))
            sizes = np.cumsum(self._starts[which + 1] - self._starts[which])
            which = which[: max(1, int(np.searchsorted(sizes, _PIECE_BYTES)))]  # of large rows few
            yield from self._parsed(which)
            begin += len(which)

    def some(self, numbers: Sequence[int] | NDArray[np.int64]) -> StoredRows:
        """Some of the rows by their numbers, as a sequence over the same bytes."""
        if isinstance(numbers, range) and numbers == range(len(self)):
            return self
        which = np.asarray(numbers, np.int64)
        return StoredRows(self._pieces, self._starts, which if self._numbers is None else self._numbers[which])

    def rewrite(self, change: Callable[[Row], object], *, apart: bool = False) -> None:
        """Has every row changed in place, in their order; `apart` where the change does nothing else.

        A change may give `AS_IT_IS`.
        """
        writer = self._changed_apart(change) if apart else self._changed_in_order(change)
        if writer is not None:
            new = writer.rows()
            self._pieces, self._starts, self._numbers = new._pieces, new._starts, None

    def _changed_in_order(self, change: Callable[[Row], object]) -> RowWriter:
        """The rows after a change that may count on the rows before."""
        writer = RowWriter()
        for row in self:
            change(row)
            writer.add(row)
        return writer

    def _changed_apart(self, change: Callable[[Row], object]) -> RowWriter | None:
        """The rows after a change of each by itself, in several processes; None where all stay as they are.

        JSON of rows that stay as they are is copied, and none is written before the first row that changes.
        """

        def changed(piece: range) -> bytes:
            some = self[piece.start : piece.stop]
            kept = [change(row) is AS_IT_IS for row in some]
            if all(kept):
                return b""
            raw = self.written(piece)
            written = [old if is_kept else _json(row) + b"," for old, row, is_kept in zip(raw, some, kept, strict=True)]
            return frame([*map(len, written)], [b"".join(written)])

        pieces = ranges(len(self))
        writer: RowWriter | None = None
        work = spread(len(pieces), lambda which: (changed(pieces[number]) for number in which))
        for piece, packed in zip(pieces, work, strict=True):
            if packed and writer is None:
                writer = RowWriter()
                self._copy(range(piece.start), writer)
            if packed and writer is not None:
                lengths, (data,) = unframed(packed)
                writer.add_parts(lengths, data)
            elif writer is not None:
                self._copy(piece, writer)
            advance("normalizing", len(piece))
        return writer

    def _copy(self, which: range, writer: RowWriter) -> None:
        """Puts some of the rows behind those of a writer, as they are."""
        for begin in range(which.start, which.stop, _ROWS_AT_ONCE):
            some = self._which(begin, min(which.stop, begin + _ROWS_AT_ONCE))
            writer.add_parts((self._starts[some + 1] - self._starts[some]).tolist(), self._bytes(some))

    def _which(self, begin: int, end: int) -> NDArray[np.int64]:
        return np.arange(begin, end) if self._numbers is None else self._numbers[begin:end]

    def written(self, some: range | None = None) -> Iterator[bytes]:
        """The JSON of each row, or of some that follow one another, a comma behind it."""
        some = range(len(self)) if some is None else some
        for begin in range(some.start, some.stop, _ROWS_AT_ONCE):
            which = self._which(begin, min(some.stop, begin + _ROWS_AT_ONCE))
            data, ends = self._bytes(which), np.cumsum(self._starts[which + 1] - self._starts[which]).tolist()
            yield from (data[start:end] for start, end in pairwise([0, *ends]))

    def _parsed(self, which: NDArray[np.int64]) -> list[Row]:
        found: list[Row] = json.loads(f"[{self._bytes(which)[:-1].decode('utf-8', 'surrogatepass')}]")
        return found

    def _bytes(self, which: NDArray[np.int64]) -> bytes:
        borders = np.flatnonzero(np.diff(which) != 1) + 1
        firsts, lasts = which[[0, *borders]], which[[*(borders - 1), len(which) - 1]] + 1
        segments = zip(self._starts[firsts].tolist(), self._starts[lasts].tolist(), strict=True)
        return b"".join([self._pieces.read(begin, end) for begin, end in segments])


def _json(row: Mapping[str, Any]) -> bytes:
    return _text_of(row).encode("utf-8", "surrogatepass")


def stored(rows: Iterable[Row]) -> StoredRows:
    """Rows, in their order, with no more than one of them in memory."""
    writer = RowWriter()
    for row in rows:
        writer.add(row)
    return writer.rows()


def rewrite(rows: Sequence[Row], change: Callable[[Row], object], *, apart: bool = False) -> None:
    """Has every row changed in place, in their order; `apart` where the change does nothing else."""
    if isinstance(rows, StoredRows):
        rows.rewrite(change, apart=apart)
        return
    for row in rows:
        change(row)


def written(rows: Sequence[Mapping[str, Any]], some: range | None = None) -> Iterator[bytes]:
    """The JSON of each row, or of some that follow one another, a comma behind it."""
    if isinstance(rows, StoredRows):
        return rows.written(some)
    return (_json(row) + b"," for row in (rows if some is None else rows[some.start : some.stop]))


def some_of(rows: Sequence[Row], numbers: Sequence[int]) -> Sequence[Row]:
    """Some of the rows, by their numbers."""
    return rows.some(numbers) if isinstance(rows, StoredRows) else [rows[number] for number in numbers]
