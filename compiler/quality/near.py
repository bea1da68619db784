"""Which rows resemble one another: equal texts, and by MinHash those that are nearly the same.

A text is the set of its runs of four words, without those that many texts share, such as an instruction before every
row: that makes no two of them alike. MinHash signatures (Broder 1997) and locality-sensitive hashing (Indyk & Motwani
1998) by datasketch give candidates; a pair counts when the Jaccard similarity of the two sets, computed in full,
reaches the threshold. Same texts in the same order give the same pairs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.splits import connected

__all__ = ["FEWEST_SHINGLES", "MOST_COMPARED", "Likeness", "find_likeness", "near_pairs", "normalized"]

FEWEST_SHINGLES = 8
"""Texts with fewer runs of words are compared as a whole alone: in a short text, one other word is another meaning."""
MOST_COMPARED = 200_000
"""Texts that are compared, so that a plan stays one of seconds; the caller tells of the others."""

_WORD = re.compile(r"\w+")
_MOST_WORDS = 2_000
_SHINGLE_WORDS = 4
_BANDS, _BAND_ROWS = 12, 6  # a pair of similarity 0.9 is a candidate with probability 0.9999, one of 0.8 with 0.97
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_MOST_CANDIDATES = 32
_ENOUGH_TWINS = 4
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Shingles = NDArray[np.uint64]
"""(n,) sorted digests of a text's runs of words, each once."""


def normalized(text: str) -> str:
    """A text without what makes no difference to a reader: case, width and form of characters, marks, white space."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def near_pairs(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of normalized texts whose Jaccard similarity reaches the threshold.

    A text that resembles four earlier ones isn't kept for comparison, so that ten thousand copies don't give a hundred
    million pairs; and only the first `MOST_COMPARED` texts are looked at.
    """
    from datasketch import MinHash, MinHashLSH

    sets = _shingles(texts[:MOST_COMPARED])
    permutations = _BANDS * _BAND_ROWS
    empty = MinHash(num_perm=permutations, seed=1, hashfunc=int)
    index: Any = MinHashLSH(num_perm=permutations, params=(_BANDS, _BAND_ROWS))
    for number, shingles in enumerate(sets):
        if len(shingles) < FEWEST_SHINGLES:
            continue
        signature = empty.copy()
        signature.update_batch((shingles >> np.uint64(32)).tolist())
        twins = []
        for other in sorted(index.query(signature))[:_MOST_CANDIDATES]:
            both = len(np.intersect1d(sets[other], shingles, assume_unique=True))
            if both / (len(sets[other]) + len(shingles) - both) >= threshold:
                twins.append(other)
        yield from ((other, number) for other in twins)
        if len(twins) < _ENOUGH_TWINS:
            index.insert(number, signature, check_duplication=False)


def _shingles(texts: Sequence[str]) -> list[Shingles]:
    """Digests of each text's runs of four words, sorted, each once, without those that many texts have."""
    known: dict[str, int] = {}
    words: list[int] = []
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
    return _by_owner(owners[: len(runs)][is_whole], runs[is_whole], len(texts))


def _by_owner(owners: NDArray[np.int64], values: NDArray[np.uint64], count: int) -> list[Shingles]:
    """The values of each owner, sorted, each once, without those that more than a fiftieth of all owners have."""
    order = np.lexsort((values, owners))
    owners, values = owners[order], values[order]
    is_new = np.ones(len(values), dtype=np.bool_)
    is_new[1:] = (owners[1:] != owners[:-1]) | (values[1:] != values[:-1])
    owners, values = owners[is_new], values[is_new]
    _, kinds, spread = np.unique(values, return_inverse=True, return_counts=True)
    is_rare = spread[kinds] <= max(_COMMON_FLOOR, _COMMON_SHARE * count)
    owners, values = owners[is_rare], values[is_rare]
    return np.split(values, np.searchsorted(owners, np.arange(1, count))) if count else []


def _runs(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well mixed digest of the four words from each place on; the last three places stand for nothing."""
    count = max(0, len(words) - _SHINGLE_WORDS + 1)
    digests = np.zeros(count, dtype=np.uint64)
    for offset in range(_SHINGLE_WORDS):
        digests = (digests ^ words[offset : offset + count]) * _FACTOR
        digests ^= digests >> np.uint64(29)
    return digests


@dataclass(frozen=True, slots=True)
class Likeness:
    """Rows that are alike, by the use of the file that they stand in.

    Attributes:
        normal: For each row, a digest of its text without case, marks and white space.
        cluster: For each row, a number that it shares with all rows that resemble it, in any file.
        num_uncompared: Texts that were too many to be compared.
    """

    normal: Mapping[str, Sequence[bytes]]
    cluster: Mapping[str, Sequence[int]]
    num_uncompared: int


def find_likeness(texts: Mapping[str, Sequence[str]], similarity: float | None) -> Likeness:
    """Compares the texts of all rows.

    Args:
        texts: Text of each row, by the use of its file.
        similarity: Jaccard similarity from which two texts are near duplicates; None compares none.
    """
    plain = [(text, normalized(text)) for rows in texts.values() for text in rows]
    digests = [hashlib.sha256((normal or text).encode("utf-8", "surrogatepass")).digest() for text, normal in plain]
    first: dict[bytes, int] = {}
    for row, digest in enumerate(digests):
        first.setdefault(digest, row)
    distinct = list(first.values())
    pairs = [(first[digest], row) for row, digest in enumerate(digests)]
    if similarity is not None:
        near = near_pairs([plain[row][1] for row in distinct], similarity)
        pairs += [(distinct[a], distinct[b]) for a, b in near]
    clusters = connected(len(plain), pairs)
    normal: dict[str, list[bytes]] = {}
    cluster: dict[str, list[int]] = {}
    start = 0
    for use, rows in texts.items():
        normal[use] = digests[start : start + len(rows)]
        cluster[use] = clusters[start : start + len(rows)]
        start += len(rows)
    uncompared = max(0, len(distinct) - MOST_COMPARED) if similarity is not None else 0
    return Likeness(normal, cluster, uncompared)
