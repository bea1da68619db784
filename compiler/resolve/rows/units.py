"""Rows that a division keeps together: copies of one another, and rows of one group. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Unit", "connected", "make_units", "rank"]


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
    keys: Sequence[bytes],
    *,
    groups: Sequence[str] | None = None,
    alike: Sequence[int] | None = None,
    strata: Sequence[str] | None = None,
) -> list[Unit]:
    """The smallest sets of rows that may be parted, in the order of their first rows.

    Args:
        keys: Digest of each row's content; equal ones stay together.
        groups: Each row's group. Groups that share a copy of a row stay together, too.
        alike: For each row, a number that it shares with all rows that resemble it.
        strata: Each row's stratum. A unit's is the one that most of its rows have, the least of several such.
    """
    columns = [column for column in (keys, groups, alike) if column is not None]
    sets = _connected(*columns) if len(columns) > 1 else _by_value(keys)
    names = keys if groups is None else [group.encode("utf-8", "surrogatepass") for group in groups]
    return [
        Unit(
            min(names[row] for row in rows),
            tuple(rows),
            _most_common(strata[row] for row in rows) if strata is not None else "",
        )
        for rows in sets
    ]


def rank(key: bytes, seed: int) -> bytes:
    """A key's place in the seeded order: sha256 over seed and key."""
    return hashlib.sha256(b"%d:" % seed + key).digest()


def _by_value(values: Sequence[object]) -> list[list[int]]:
    sets: dict[object, list[int]] = {}
    for row, value in enumerate(values):
        sets.setdefault(value, []).append(row)
    return list(sets.values())


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each of so many rows, the first row that pairs lead to from it, directly or by way of others."""
    roots = list(range(count))

    def root(row: int) -> int:
        while roots[row] != row:
            roots[row] = row = roots[roots[row]]
        return row

    for pair in pairs:
        a, b = sorted(map(root, pair))
        roots[b] = a
    return [root(row) for row in range(count)]


def _connected(*columns: Sequence[object]) -> list[list[int]]:
    """Rows that agree in one of the columns, directly or by way of others."""
    pairs = ((first, other) for column in columns for first, *others in _by_value(column) for other in others)
    return _by_value(connected(len(columns[0]), pairs))


def _most_common(names: Iterable[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))
