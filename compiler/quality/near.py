"""Which rows resemble one another: equal texts, and by MinHash those that are nearly the same.

A text is the set of its runs of four words, without those that many texts share, such as an instruction before every
row: that makes no two of them alike. MinHash signatures (Broder 1997) and locality-sensitive hashing (Indyk & Motwani
1998) give candidates; a pair counts when the Jaccard similarity of the two sets, computed in full, reaches the
threshold. Same texts in the same order give the same pairs, and those that datasketch 2 gives; but signatures are made
of all texts at once, and a text without a candidate costs no Python object.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.digest_sets import Digests, is_among
from ftc.compiler.quality.word_runs import FACTOR, TEXTS_AT_ONCE, Words
from ftc.compiler.resolve.rows.in_processes import frame, ranges, spread, unframed
from ftc.compiler.resolve.rows.row_digests import Digests as RowDigests
from ftc.compiler.resolve.rows.row_digests import first_equal
from ftc.compiler.resolve.rows.splits import connected
from ftc.compiler.resolve.rows.spool import Spool

__all__ = [
    "FEWEST_SHINGLES",
    "TEXTS_AT_ONCE",
    "Likeness",
    "ReadTexts",
    "find_likeness",
    "near_pairs",
    "normalized",
    "shingles_of",
]

FEWEST_SHINGLES = 8
"""Texts with fewer runs of words are compared as a whole alone: in a short text, one other word is another meaning."""

_WORD = re.compile(r"\w+")
_PLAIN = bytes(ord(chr(code).lower() if _WORD.match(chr(code)) else " ") if code < 128 else code for code in range(256))
"""What stands for a byte of ASCII in a normalized text."""
_BANDS, _BAND_ROWS = 12, 6  # a pair of similarity 0.9 is a candidate with probability 0.9999, one of 0.8 with 0.97
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_MOST_CANDIDATES = 32
_ENOUGH_TWINS = 4
_CELL_BITS = 20
_DRAWN = np.random.RandomState(1)
_SLOPES = _DRAWN.randint(0, 2**31, _BANDS * _BAND_ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_SHIFTS = _DRAWN.randint(0, 2**32, _BANDS * _BAND_ROWS, dtype=np.uint32)
"""The permutations of 32-bit numbers: value * slope + shift, whose slopes are odd so that no two values meet."""


class Shingles:
    """The runs of words of texts: digests in a spool, those of each text sorted, each once; eight bytes a text stay.

    Attributes:
        common: Runs that too many texts have; they are left out.
    """

    def __init__(self) -> None:
        self._spool, self._bounds = Spool(), array("q", [0])
        self.common = np.zeros(0, np.uint64)

    def add(self, values: bytes, counts: Sequence[int]) -> None:
        """Puts texts behind the others: their runs of words, as many of each as it has."""
        self._spool.add(values)
        self._bounds.frombytes((np.cumsum(counts, dtype=np.int64) + self._bounds[-1]).tobytes())

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def settle(self) -> None:
        """Writes what waits, so that a forked process doesn't."""
        self._spool.settle()

    def between(self, begin: int, end: int) -> tuple[Digests, NDArray[np.int64]]:
        """Those of some texts, one behind the other, and how many each has."""
        bounds = np.array(self._bounds[begin : end + 1])
        values = np.frombuffer(self._spool.read(int(bounds[0]) * 8, int(bounds[-1]) * 8), np.uint64)
        lengths = np.diff(bounds)
        if not len(self.common):
            return values, lengths
        is_rare = ~is_among(values, self.common)
        owners = np.repeat(np.arange(end - begin), lengths)
        return values[is_rare], np.bincount(owners[is_rare], minlength=end - begin)

    def of(self, text: int) -> Digests:
        """Those of one text."""
        return self.between(text, text + 1)[0]

    def likeness(self, one: int, other: int) -> float:
        """Jaccard similarity of two texts."""
        first, second = self.of(one), self.of(other)
        both = len(np.intersect1d(first, second, assume_unique=True))
        return both / (len(first) + len(second) - both)

    def leave_out_common(self, numbers: NDArray[np.int64]) -> None:
        """Leaves out the runs that more than a fiftieth of some texts have."""
        most = int(max(_COMMON_FLOOR, _COMMON_SHARE * len(numbers)))
        cells = np.zeros(1 << _CELL_BITS, np.int64)  # what many texts have makes its cell large
        shift = np.uint64(64 - _CELL_BITS)
        for values in self._chosen(numbers):
            cells += np.bincount((values >> shift).astype(np.int64), minlength=len(cells))
        is_large = cells > most
        found, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for values in self._chosen(numbers) if is_large.any() else ():
            some, times = np.unique(values[is_large[(values >> shift).astype(np.int64)]], return_counts=True)
            found.append(some)
            counts.append(times)
        known, places = np.unique(np.concatenate(found), return_inverse=True)
        times = np.bincount(places, np.concatenate(counts), minlength=len(known))
        self.common = known[times > most]

    def _chosen(self, numbers: NDArray[np.int64]) -> Iterator[Digests]:
        """The runs of some texts, so many texts at a time."""
        for begin in range(0, len(self), TEXTS_AT_ONCE):
            end = min(len(self), begin + TEXTS_AT_ONCE)
            values, lengths = self.between(begin, end)
            is_chosen = np.zeros(end - begin, np.bool_)
            is_chosen[numbers[slice(*np.searchsorted(numbers, (begin, end)))] - begin] = True
            yield values[np.repeat(is_chosen, lengths)]


def normalized(text: str) -> str:
    """A text without what makes no difference to a reader: case, width and form of characters, marks, white space."""
    return b" ".join(_words(text)).decode("utf-8", "surrogatepass")


def _words(text: str) -> list[bytes]:
    """The words of a text without what makes no difference, in UTF-8."""
    if text.isascii():  # the same, in a fraction of the time
        return text.encode("ascii").translate(_PLAIN).split()
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word.encode("utf-8", "surrogatepass") for word in words]


def near_pairs(texts: Iterable[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of normalized texts whose Jaccard similarity reaches the threshold.

    A text that resembles four earlier ones isn't kept for comparison, so that ten thousand copies don't give a hundred
    million pairs.
    """
    shingles = shingles_of(texts)
    yield from _pairs(shingles, np.arange(len(shingles)), threshold)


def _pairs(shingles: Shingles, numbers: NDArray[np.int64], threshold: float) -> Iterator[tuple[int, int]]:
    """The pairs among some texts."""
    kept: dict[int, list[int]] = defaultdict(list)  # the first texts of each bucket
    for number, buckets in _shared_buckets(shingles, numbers):
        candidates = sorted({other for bucket in buckets for other in kept[bucket]})[:_MOST_CANDIDATES]
        twins = [other for other in candidates if shingles.likeness(other, number) >= threshold]
        yield from ((other, number) for other in twins)
        if len(twins) < _ENOUGH_TWINS:
            for bucket in buckets:
                if len(kept[bucket]) < _MOST_CANDIDATES:
                    kept[bucket].append(number)


def _shared_buckets(shingles: Shingles, numbers: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Each of some texts that is in a bucket with another, in order, and the numbers of these buckets.

    Texts are in one bucket if a band of their signatures is the same.
    """
    members, buckets, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    spool, texts = _band_keys(shingles, numbers)
    spool.settle()
    compared = np.concatenate([np.zeros(0, np.int64), *texts])

    def work(which: range) -> Iterator[bytes]:
        for band in which:
            yield frame(None, [one.tobytes() for one in _shared_in(spool, texts, band)])

    for data in spread(_BANDS, work, fewest=_BANDS if len(texts) > 1 else _BANDS + 1):
        _, (places, which_buckets) = unframed(data)
        members.append(compared[np.frombuffer(places, np.int64)])
        buckets.append(np.frombuffer(which_buckets, np.int64) + count)
        count += len(compared)
    member, bucket = np.concatenate(members), np.concatenate(buckets)
    order = np.argsort(member, kind="stable")
    member, bucket = member[order], bucket[order]
    found, starts = np.unique(member, return_index=True)
    for number, begin, end in zip(found.tolist(), starts, np.append(starts, len(member))[1:], strict=True):
        yield number, bucket[begin:end].tolist()


def _shared_in(
    spool: Spool, texts: Sequence[NDArray[np.int64]], band: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the compared texts that share a bucket of a band with another, and each one's bucket."""
    keys, at = [np.zeros(0, np.uint64)], 0
    for some in texts:
        keys.append(np.frombuffer(spool.read(*(8 * (at + len(some) * one) for one in (band, band + 1))), np.uint64))
        at += _BANDS * len(some)
    ascending = np.concatenate(keys)
    order = np.argsort(ascending, kind="stable")
    ascending = ascending[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = ascending[1:] != ascending[:-1]
    is_shared = ~is_new
    is_shared[:-1] |= ~is_new[1:]
    return order[is_shared], (np.cumsum(is_new) - 1)[is_shared]


def _band_keys(shingles: Shingles, numbers: NDArray[np.int64]) -> tuple[Spool, list[NDArray[np.int64]]]:
    """A digest of each band of the MinHash signatures of those texts that have enough runs of words: one band behind
    the other for each so many texts, and the numbers of these.
    """
    pieces, spool, found = ranges(len(shingles), TEXTS_AT_ONCE), Spool(), list[NDArray[np.int64]]()
    shingles.settle()

    def work(which: range) -> Iterator[bytes]:
        for piece in (pieces[number] for number in which):
            yield frame(None, [one.tobytes() for one in _keys_of(shingles, piece, numbers)])

    for data in spread(len(pieces), work):
        _, (keys, which_texts) = unframed(data)
        if which_texts:
            spool.add(keys)
            found.append(np.frombuffer(which_texts, np.int64))
    return spool, found


def _keys_of(shingles: Shingles, piece: range, numbers: NDArray[np.int64]) -> tuple[Digests, NDArray[np.int64]]:
    """(bands, texts) The digests of those of a piece's texts that have enough runs of words, and the texts' numbers."""
    digests, lengths = shingles.between(piece.start, piece.stop)
    is_compared = np.zeros(len(piece), np.bool_)
    is_compared[numbers[slice(*np.searchsorted(numbers, (piece.start, piece.stop)))] - piece.start] = True
    is_compared &= lengths >= FEWEST_SHINGLES
    keys = np.zeros((_BANDS, int(is_compared.sum())), np.uint64)
    if not keys.size:
        return keys, np.zeros(0, np.int64)
    values = _mixed((digests[np.repeat(is_compared, lengths)] >> np.uint64(32)).astype(np.uint32))
    starts = np.cumsum([0, *lengths[is_compared][:-1]])
    for number, (slope, shift) in enumerate(zip(_SLOPES, _SHIFTS, strict=True)):
        key = keys[number // _BAND_ROWS]
        key ^= np.minimum.reduceat(values * slope + shift, starts)
        key *= FACTOR
        key ^= key >> np.uint64(29)
    return keys, np.flatnonzero(is_compared) + piece.start


def _mixed(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each number with its bits mixed, so that each depends on all of them: the finalizer of MurmurHash3."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def shingles_of(texts: Iterable[str]) -> Shingles:
    """Digests of each text's runs of four words, without those that many texts have."""
    shingles, waiting = Shingles(), iter(texts)
    while some := [*islice(waiting, TEXTS_AT_ONCE)]:
        words = Words()
        for text in some:
            words.add(text.encode("utf-8", "surrogatepass").split(b" "))
        values, counts = words.runs()
        shingles.add(values.tobytes(), counts.tolist())
    shingles.leave_out_common(np.arange(len(shingles)))
    return shingles


@dataclass(frozen=True, slots=True)
class Likeness:
    """Rows that are alike, by the use of the file that they stand in.

    Attributes:
        normal: For each row, a number that it shares with all rows whose texts differ only in case, marks and white
            space, in any file.
        cluster: For each row, a number that it shares with all rows that resemble it, in any file.
    """

    normal: Mapping[str, NDArray[np.int64]]
    cluster: Mapping[str, NDArray[np.int64]]


class ReadTexts(NamedTuple):
    """What texts are compared by.

    Attributes:
        digests: sha256 of each, normalized.
        runs: Digests of the runs of words of each, as 64-bit numbers.
        counts: How many runs each has; empty where texts are not compared by them.
    """

    digests: bytes
    runs: bytes = b""
    counts: Sequence[int] = ()

    @classmethod
    def of(cls, texts: Sequence[str], *, by_runs: bool) -> Self:
        """That of some texts, at most as many as are worked on at once."""
        digests, all_words = list[bytes](), Words()
        for text in texts:
            words = _words(text)
            plain = b" ".join(words) or text.encode("utf-8", "surrogatepass")
            digests.append(hashlib.sha256(plain).digest())
            if by_runs:
                all_words.add(words)
        if not by_runs:
            return cls(b"".join(digests))
        runs, counts = all_words.runs()
        return cls(b"".join(digests), runs.tobytes(), counts.tolist())


def find_likeness(read: Iterable[ReadTexts], rows: Mapping[str, int], similarity: float | None) -> Likeness:
    """Compares the texts of all rows.

    Args:
        read: The texts of all files, in their order.
        rows: How many each file has, by its use.
        similarity: Jaccard similarity from which two texts are near duplicates; None compares none.
    """
    digests, shingles = Spool(), Shingles()
    for some in read:
        digests.add(some.digests)
        shingles.add(some.runs, some.counts)
    first = first_equal(RowDigests(digests.mapped("uint8").data))
    cluster = first
    if similarity is not None:
        distinct = np.flatnonzero(first == np.arange(len(first)))
        shingles.leave_out_common(distinct)
        cluster = connected(len(first), _pairs(shingles, distinct, similarity))[first]
    equal: dict[str, NDArray[np.int64]] = {}
    clusters: dict[str, NDArray[np.int64]] = {}
    start = 0
    for use, count in rows.items():
        equal[use], clusters[use] = first[start : start + count], cluster[start : start + count]
        start += count
    return Likeness(equal, clusters)
