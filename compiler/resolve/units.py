"""Rows that a division keeps together: copies of one another, and rows of one group. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Unit", "make_units", "rank"]


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that go to the same part.

    Attributes:
        key: What its place in the seeded order follows from.
        rows: Row numbers, ascending.
        stratum: What keeps its proportions in every part; empty where nothing does.
    """

    key: bytes
    rows: tuple[int, ...]
    stratum: str = ""


def make_units(
    keys: Sequence[bytes], *, groups: Sequence[str] | None = None, strata: Sequence[str] | None = None
) -> list[Unit]:
    """The smallest sets of rows that may be parted, in the order of their first rows.

    Args:
        keys: Digest of each row's content; equal ones stay together.
        groups: Each row's group. Groups that share a copy of a row stay together, too.
        strata: Each row's stratum. A unit's is the one that most of its rows have, the least of several such.
    """
    if groups is None:
        sets = _by_value(keys)
        names = [keys[rows[0]] for rows in sets]
    else:
        sets = _connected(keys, groups)
        names = [min(groups[row] for row in rows).encode("utf-8", "surrogatepass") for rows in sets]
    return [
        Unit(name, tuple(rows), _most_common(strata[row] for row in rows) if strata is not None else "")
        for name, rows in zip(names, sets, strict=True)
    ]


def rank(key: bytes, seed: int) -> bytes:
    """A key's place in the seeded order: sha256 over seed and key."""
    return hashlib.sha256(b"%d:" % seed + key).digest()


def _by_value(values: Sequence[object]) -> list[list[int]]:
    sets: dict[object, list[int]] = {}
    for row, value in enumerate(values):
        sets.setdefault(value, []).append(row)
    return list(sets.values())


def _connected(*columns: Sequence[object]) -> list[list[int]]:
    """Rows that agree in one of the columns, directly or by way of others."""
    roots = list(range(len(columns[0])))

    def root(row: int) -> int:
        while roots[row] != row:
            roots[row] = row = roots[roots[row]]
        return row

    for column in columns:
        for first, *others in _by_value(column):
            for other in others:
                a, b = sorted((root(first), root(other)))
                roots[b] = a
    return _by_value([root(row) for row in range(len(roots))])


def _most_common(names: Iterable[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))
