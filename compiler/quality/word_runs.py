"""Runs of words of texts as digests, those of each text sorted, each once."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.digest_sets import Digests

__all__ = ["FACTOR", "TEXTS_AT_ONCE", "Words"]

FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""What mixes the bits of a digest."""
_MOST_WORDS = 2_000
_SHINGLE_WORDS = 4
_OWNER_BITS = 12
TEXTS_AT_ONCE = 1 << _OWNER_BITS
"""Most texts that are worked on together."""
_MOST_PADDING = 4
"""Times the runs of texts that a table of them may have cells."""


class Words:
    """CRC-32 of the words of texts, of each text's first ones."""

    def __init__(self) -> None:
        self._digests, self._counts = array("I"), list[int]()

    def add(self, words: Sequence[bytes]) -> None:
        """Puts a text behind the others."""
        self._digests.extend(map(zlib.crc32, words[:_MOST_WORDS]))
        self._counts.append(min(len(words), _MOST_WORDS))

    def runs(self) -> tuple[Digests, NDArray[np.int64]]:
        """The digests of the runs of each text, sorted, each once; and how many each text has."""
        count = len(self._counts)
        owners = np.repeat(np.arange(count), self._counts)
        runs = _runs(np.array(self._digests, dtype=np.uint64))
        is_whole = owners[: len(runs)] == owners[len(owners) - len(runs) :]  # begins and ends in one text
        owners, runs = owners[: len(runs)][is_whole], runs[is_whole]
        lengths = np.bincount(owners, minlength=count)
        if count * (longest := int(lengths.max(initial=0))) <= _MOST_PADDING * len(runs):
            return _sorted_in_rows(runs, lengths, longest)
        order = _by_owner(owners, runs)
        owners, runs = owners[order], runs[order]
        is_new = np.ones(len(runs), dtype=np.bool_)
        is_new[1:] = (owners[1:] != owners[:-1]) | (runs[1:] != runs[:-1])
        return runs[is_new], np.bincount(owners[is_new], minlength=count)


def _sorted_in_rows(runs: Digests, lengths: NDArray[np.int64], longest: int) -> tuple[Digests, NDArray[np.int64]]:
    """The runs of texts that are about equally long, sorted, each once, and how many each text has: a table with a row
    for each text is sorted in less than half of the time that an order of all runs takes.
    """
    is_run = np.arange(longest) < lengths[:, None]
    table = np.full(is_run.shape, np.iinfo(np.uint64).max, np.uint64)  # what is behind a text's runs stays there
    table[is_run] = runs
    table.sort(axis=1)
    is_run[:, 1:] &= table[:, 1:] != table[:, :-1]
    return table[is_run], is_run.sum(axis=1)


def _by_owner(owners: NDArray[np.int64], runs: Digests) -> NDArray[np.int64]:
    """The order of runs by their text and then by value, of no more than `TEXTS_AT_ONCE` texts."""
    keys = (owners.astype(np.uint64) << np.uint64(64 - _OWNER_BITS)) | (runs >> np.uint64(_OWNER_BITS))
    order = np.argsort(keys)  # by one number, which takes a tenth of the time
    keys, ascending = keys[order], runs[order]
    if (ascending[1:] != ascending[:-1])[keys[1:] == keys[:-1]].any():  # two runs that differ only at their end
        return np.lexsort((runs, owners))
    return order


def _runs(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well mixed digest of the four words from each place on; the last three places stand for nothing."""
    count = max(0, len(words) - _SHINGLE_WORDS + 1)
    digests = np.zeros(count, dtype=np.uint64)
    for offset in range(_SHINGLE_WORDS):
        digests = (digests ^ words[offset : offset + count]) * FACTOR
        digests ^= digests >> np.uint64(29)
    return digests
