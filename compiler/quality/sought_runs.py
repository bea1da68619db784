"""Runs of tokens that are sought among many more: those of measured rows among those of training rows.

All of them may be more than memory holds. A table of bits lets few runs through that are not sought; what it lets
through, and what is sought, lies on disk in parts by the runs' digests, and each part is compared by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.digest_sets import Digests, is_among
from ftc.compiler.resolve.rows.spool import Spool

__all__ = ["SoughtRuns"]

_IN_PART = 4_000_000
"""Sought runs of a part, about."""
_MOST_BITS = 6
_WAITING = 1 << 16
"""Bytes that wait in memory for each file."""
_LEAST_CELLS, _MOST_CELLS = 12, 27
"""Bits of the number of a cell of the table, whose cells take a byte."""
_CELLS_A_RUN = 16


class SoughtRuns:
    """The runs, each with where it begins.

    Args:
        most: Runs that are sought, at most.
    """

    def __init__(self, most: int) -> None:
        wanted = max(1, most * _CELLS_A_RUN).bit_length()
        self._shift = np.uint64(64 - min(_MOST_CELLS, max(_LEAST_CELLS, wanted)))
        self._cells = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        self._bits = min(_MOST_BITS, (most // _IN_PART).bit_length())
        self._sought: dict[int, list[Spool]] = {}
        self._met = self._spools()

    def _spools(self) -> list[Spool]:
        """One for each part; a single one may keep more in memory."""
        return [Spool(_WAITING) for _ in range(1 << self._bits)] if self._bits else [Spool()]

    def add(self, of: int, digests: Digests, starts: NDArray[np.int64]) -> None:
        """Seeks runs: those of a split by its number, and where each begins in it."""
        self._cells[digests >> self._shift] = True
        pairs = np.stack([digests, starts.astype(np.uint64)], axis=1)
        if of not in self._sought:
            self._sought[of] = self._spools()
        for spool, which in zip(self._sought[of], self._parted(digests), strict=True):
            spool.add(pairs[which].tobytes())

    def may_have(self, digests: Digests) -> NDArray[np.bool_]:
        """(runs,) Which of some runs may be sought; all that are sought are among them."""
        return np.asarray(self._cells[digests >> self._shift])

    def meet(self, digests: Digests) -> None:
        """Takes runs that may be sought."""
        for spool, which in zip(self._met, self._parted(digests), strict=True):
            spool.add(digests[which].tobytes())

    def met(self) -> Iterator[tuple[int, Digests, NDArray[np.int64], NDArray[np.bool_]]]:
        """Parts of the sought runs: the split's number, digests, where they begin, and which were met.

        All runs with the same digest are in one part.
        """
        for part, spool in enumerate(self._met):
            known = np.sort(spool.mapped("uint64"))
            for of, spools in self._sought.items():
                pairs = spools[part].mapped("uint64").reshape(-1, 2)
                digests = np.ascontiguousarray(pairs[:, 0])
                yield of, digests, pairs[:, 1].astype(np.int64), is_among(digests, known)

    def _parted(self, digests: Digests) -> Iterator[NDArray[np.int64] | slice]:
        """Which of some runs belong to each part."""
        if not self._bits:
            yield slice(None)
            return
        part = (digests & np.uint64((1 << self._bits) - 1)).astype(np.int64)  # the table goes by the other end
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(len(self._met) + 1))
        yield from (order[begin:end] for begin, end in pairwise(bounds.tolist()))
