"""Which rows of the data resemble one another, over all of its files. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftc.compiler.quality.near import MOST_COMPARED, near_pairs, normalized
from ftc.compiler.resolve.rows.units import connected

__all__ = ["Likeness", "find_likeness"]


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
