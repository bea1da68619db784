"""The seeded order of rows: that of sha256 over the seed and a row's key, whatever the rows' own order. Pure."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.in_processes import ranges, spread
from ftc.compiler.resolve.rows.row_digests import Digests, in_order
from ftc.compiler.resolve.rows.spool import Spool

__all__ = ["first_rows", "rank", "ranks_of", "seeded_order"]

_AT_ONCE = 1 << 14


def rank(key: bytes, seed: int) -> bytes:
    """A key's place in the seeded order: sha256 over seed and key."""
    return hashlib.sha256(b"%d:" % seed + key).digest()


def ranks_of(seed: int, numbers: Sequence[int] | NDArray[np.int64], key_of: Callable[[int], bytes]) -> Digests:
    """The places of some keys in the seeded order, by the keys' numbers."""
    pieces, found = ranges(len(numbers), _AT_ONCE), Spool()

    def work(which: range) -> Iterator[bytes]:
        for piece in (pieces[number] for number in which):
            yield b"".join([rank(key_of(int(number)), seed) for number in numbers[piece.start : piece.stop]])

    for data in spread(len(pieces), work):
        found.add(data)
    return Digests(found.mapped("uint8").data)


def first_rows(rows: Sequence[int], keys: Sequence[bytes], seed: int, most: int) -> array[int]:
    """At most so many of the rows, which ascend: the first in the seeded order. Ascending."""
    order = seeded_order(rows, keys, seed)
    return array("q", np.sort(order[:most]).tobytes())


def seeded_order(rows: Sequence[int], keys: Sequence[bytes], seed: int) -> NDArray[np.int64]:
    """(rows,) Rows, which ascend, in the seeded order of their keys; those with the same key ascend."""
    return np.array(rows, np.int64)[in_order(ranks_of(seed, rows, keys.__getitem__))]
