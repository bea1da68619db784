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
import zlib
from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.splits import connected

__all__ = ["FEWEST_SHINGLES", "Likeness", "find_likeness", "is_among", "near_pairs", "normalized", "shingles_of"]

FEWEST_SHINGLES = 8
"""Texts with fewer runs of words are compared as a whole alone: in a short text, one other word is another meaning."""

_WORD = re.compile(r"\w+")
_MOST_WORDS = 2_000
_SHINGLE_WORDS = 4
_BANDS, _BAND_ROWS = 12, 6  # a pair of similarity 0.9 is a candidate with probability 0.9999, one of 0.8 with 0.97
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_MOST_CANDIDATES = 32
_ENOUGH_TWINS = 4
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_TEXTS_AT_ONCE = 4_096
_DRAWN = np.random.RandomState(1)
_SLOPES = _DRAWN.randint(0, 2**31, _BANDS * _BAND_ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_SHIFTS = _DRAWN.randint(0, 2**32, _BANDS * _BAND_ROWS, dtype=np.uint32)
"""The permutations of 32-bit numbers: value * slope + shift, whose slopes are odd so that no two values meet."""

Digests = NDArray[np.uint64]


class Shingles(NamedTuple):
    """The runs of words of texts.

    Attributes:
        values: (runs,) Their digests: those of each text sorted, each once.
        bounds: (texts + 1,) Where each text's begin.
    """

    values: Digests
    bounds: NDArray[np.int64]

    def of(self, text: int) -> Digests:
        """Those of one text."""
        return self.values[self.bounds[text] : self.bounds[text + 1]]

    def likeness(self, one: int, other: int) -> float:
        """Jaccard similarity of two texts."""
        first, second = self.of(one), self.of(other)
        both = len(np.intersect1d(first, second, assume_unique=True))
        return both / (len(first) + len(second) - both)


def normalized(text: str) -> str:
    """A text without what makes no difference to a reader: case, width and form of characters, marks, white space."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def near_pairs(texts: Iterable[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of normalized texts whose Jaccard similarity reaches the threshold.

    A text that resembles four earlier ones isn't kept for comparison, so that ten thousand copies don't give a hundred
    million pairs.
    """
    shingles = shingles_of(texts)
    kept: dict[int, list[int]] = defaultdict(list)  # the first texts of each bucket
    for number, buckets in _shared_buckets(shingles):
        candidates = sorted({other for bucket in buckets for other in kept[bucket]})[:_MOST_CANDIDATES]
        twins = [other for other in candidates if shingles.likeness(other, number) >= threshold]
        yield from ((other, number) for other in twins)
        if len(twins) < _ENOUGH_TWINS:
            for bucket in buckets:
                if len(kept[bucket]) < _MOST_CANDIDATES:
                    kept[bucket].append(number)


def _shared_buckets(shingles: Shingles) -> Iterator[tuple[int, list[int]]]:
    """Each text that is in a bucket with another, in order, and the numbers of these buckets.

    Texts are in one bucket if a band of their signatures is the same.
    """
    texts = np.flatnonzero(np.diff(shingles.bounds) >= FEWEST_SHINGLES)
    members, buckets, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for keys in _band_keys(shingles, texts):
        order = np.argsort(keys, kind="stable")
        is_new = np.ones(len(keys), dtype=np.bool_)
        is_new[1:] = keys[order[1:]] != keys[order[:-1]]
        bucket = np.cumsum(is_new) - 1
        is_shared = np.bincount(bucket, minlength=1)[bucket] > 1
        members.append(texts[order[is_shared]])
        buckets.append(bucket[is_shared] + count)
        count += len(keys)
    member, bucket = np.concatenate(members), np.concatenate(buckets)
    order = np.argsort(member, kind="stable")
    member, bucket = member[order], bucket[order]
    numbers, starts = np.unique(member, return_index=True)
    for number, begin, end in zip(numbers.tolist(), starts, np.append(starts, len(member))[1:], strict=True):
        yield number, bucket[begin:end].tolist()


def _band_keys(shingles: Shingles, texts: NDArray[np.int64]) -> Digests:
    """(bands, texts) A digest of each band of the MinHash signatures of some texts, each with a run of words."""
    keys = np.zeros((_BANDS, len(texts)), np.uint64)
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        some = slice(first, first + _TEXTS_AT_ONCE)
        parts = [shingles.of(text) for text in texts[some]]
        starts = np.cumsum([0, *map(len, parts[:-1])])
        values = _mixed((np.concatenate(parts) >> np.uint64(32)).astype(np.uint32))
        for number, (slope, shift) in enumerate(zip(_SLOPES, _SHIFTS, strict=True)):
            key = keys[number // _BAND_ROWS, some]
            key ^= np.minimum.reduceat(values * slope + shift, starts)
            key *= _FACTOR
            key ^= key >> np.uint64(29)
    return keys


def _mixed(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each number with its bits mixed, so that each depends on all of them: the finalizer of MurmurHash3."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def shingles_of(texts: Iterable[str]) -> Shingles:
    """Digests of each text's runs of four words, without those that many texts have."""
    values, lengths = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    waiting = iter(texts)
    while some := [*islice(waiting, _TEXTS_AT_ONCE)]:
        found, counts = _of_some(some)
        values.append(found)
        lengths.append(counts)
    return _telling(np.concatenate(values), np.concatenate(lengths))


def _of_some(texts: Sequence[str]) -> tuple[Digests, NDArray[np.int64]]:
    """The digests of the runs of each text, sorted, each once; and how many each text has."""
    known: dict[str, int] = {}
    words = array("I")
    counts: list[int] = []
    for text in texts:
        found = text.split(" ", _MOST_WORDS)[:_MOST_WORDS]
        for word in found:
            if (digest := known.get(word)) is None:
                digest = known[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
            words.append(digest)
        counts.append(len(found))
    owners = np.repeat(np.arange(len(texts)), counts)
    runs = _runs(np.array(words, dtype=np.uint64))
    is_whole = owners[: len(runs)] == owners[len(owners) - len(runs) :]  # begins and ends in one text
    owners, runs = owners[: len(runs)][is_whole], runs[is_whole]
    order = np.lexsort((runs, owners))
    owners, runs = owners[order], runs[order]
    is_new = np.ones(len(runs), dtype=np.bool_)
    is_new[1:] = (owners[1:] != owners[:-1]) | (runs[1:] != runs[:-1])
    return runs[is_new], np.bincount(owners[is_new], minlength=len(texts))


def _telling(values: Digests, lengths: NDArray[np.int64]) -> Shingles:
    """The runs without those that more than a fiftieth of all texts have."""
    most = int(max(_COMMON_FLOOR, _COMMON_SHARE * len(lengths)))
    ascending = np.sort(values)
    common = np.unique(ascending[most:][ascending[most:] == ascending[: max(0, len(ascending) - most)]])
    del ascending
    is_rare = ~is_among(values, common)
    owners = np.repeat(np.arange(len(lengths)), lengths)[is_rare]
    counts = np.bincount(owners, minlength=len(lengths))
    return Shingles(values[is_rare], np.concatenate([[0], np.cumsum(counts)]))


def _runs(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well mixed digest of the four words from each place on; the last three places stand for nothing."""
    count = max(0, len(words) - _SHINGLE_WORDS + 1)
    digests = np.zeros(count, dtype=np.uint64)
    for offset in range(_SHINGLE_WORDS):
        digests = (digests ^ words[offset : offset + count]) * _FACTOR
        digests ^= digests >> np.uint64(29)
    return digests


def is_among(values: Digests, known: Digests) -> NDArray[np.bool_]:
    """(values,) Which numbers are among the known ones.

    As `np.isin`, whose table of hashes takes fifty times as long for a few millions.
    """
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    ascending = np.sort(known)
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[places] == values)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Rows that are alike, by the use of the file that they stand in.

    Attributes:
        normal: For each row, a digest of its text without case, marks and white space.
        cluster: For each row, a number that it shares with all rows that resemble it, in any file.
    """

    normal: Mapping[str, Sequence[bytes]]
    cluster: Mapping[str, Sequence[int]]


def find_likeness(texts: Mapping[str, Sequence[str]], similarity: float | None) -> Likeness:
    """Compares the texts of all rows.

    Args:
        texts: Text of each row, by the use of its file.
        similarity: Jaccard similarity from which two texts are near duplicates; None compares none.
    """
    digests: list[bytes] = []
    first: dict[bytes, int] = {}  # row with a text, by the text's digest
    pairs: list[tuple[int, int]] = []

    def distinct() -> Iterator[str]:
        """The normalized texts, each once, while the rest is noted."""
        for row, text in enumerate(chain.from_iterable(texts.values())):
            normal = normalized(text)
            digest = hashlib.sha256((normal or text).encode("utf-8", "surrogatepass")).digest()
            if (earlier := first.setdefault(digest, row)) == row:
                digests.append(digest)
                yield normal
            else:
                digests.append(digests[earlier])
                pairs.append((earlier, row))

    if similarity is None:
        deque(distinct(), maxlen=0)
    else:
        near = [*near_pairs(distinct(), similarity)]
        rows = [*first.values()]
        pairs += [(rows[a], rows[b]) for a, b in near]
    clusters = connected(len(digests), pairs)
    normal: dict[str, list[bytes]] = {}
    cluster: dict[str, list[int]] = {}
    start = 0
    for use, some in texts.items():
        normal[use] = digests[start : start + len(some)]
        cluster[use] = clusters[start : start + len(some)]
        start += len(some)
    return Likeness(normal, cluster)
