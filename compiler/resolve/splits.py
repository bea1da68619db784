"""Divides rows into training, validation and test. Pure.

The division follows from the rows' contents and the seed alone. Rows are put in the order of sha256(seed, content), so
another order of the file changes nothing, and a row keeps its part when others are added, unless it lies at the border
between two parts. Rows with the same content stay together, since a row that is trained on measures nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ftc.spec.data import Split
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.streams import Split as Part

__all__ = ["MEASURED", "Part", "divide", "first_rows", "num_copies"]

MEASURED: tuple[Part, Part] = ("test", "validation")
"""The parts that are never trained on, in the order in which they take their rows."""

_Group = list[int]
"""Rows with the same content."""


def divide(
    keys: Sequence[bytes], split: Split, strata: Sequence[str] | None = None
) -> tuple[dict[Part, list[int]], list[Diagnostic]]:
    """Row numbers by part, each list ascending. Parts with a file of their own, or a share of 0, are absent.

    A part has `share * rows` rows, rounded half up. With strata, each stratum's rows are divided in the same
    proportion, and what rounding leaves goes to the strata with the largest remainders; each stratum keeps a row for
    training. Copies stay together, so a part falls short of its size where no group of copies fits any more.

    Args:
        keys: Digest of each row's content.
        split: Shares and seed.
        strata: What keeps its proportions in every part, for each row; rows with equal keys count as their least one.

    Returns:
        The parts, and FTC371 for each part that would be empty.
    """
    remaining = _strata(_in_seeded_order(keys, split.seed), strata)
    sizes = {stratum: sum(map(len, groups)) for stratum, groups in remaining.items()}
    parts: dict[Part, list[int]] = {}
    findings: list[Diagnostic] = []
    for part in MEASURED:
        share = getattr(split, part)
        if not isinstance(share, float) or share == 0:
            continue
        seats = _seats(sizes, {s: sum(map(len, groups)) - 1 for s, groups in remaining.items()}, _exact(share))
        taken: list[int] = []
        for stratum, groups in remaining.items():
            rows, remaining[stratum] = _take(groups, seats[stratum])
            taken += rows
        parts[part] = sorted(taken)
        if not taken:
            findings.append(_empty_part(part, share, len(keys)))
    parts["train"] = sorted(row for groups in remaining.values() for group in groups for row in group)
    return parts, findings


def first_rows(rows: Sequence[int], keys: Sequence[bytes], seed: int, most: int) -> list[int]:
    """At most so many of the rows: the first in the seeded order. Ascending."""
    return sorted(sorted(rows, key=lambda row: (_rank(keys[row], seed), row))[:most])


def num_copies(keys: Sequence[bytes]) -> int:
    """Rows whose content an earlier row has already."""
    return len(keys) - len(set(keys))


def _rank(key: bytes, seed: int) -> bytes:
    return hashlib.sha256(b"%d:" % seed + key).digest()


def _in_seeded_order(keys: Sequence[bytes], seed: int) -> list[_Group]:
    groups: dict[bytes, _Group] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: _rank(key, seed))]


def _strata(groups: list[_Group], strata: Sequence[str] | None) -> dict[str, list[_Group]]:
    """Groups by stratum, in the order of the strata's names."""
    if strata is None:
        return {"": groups}
    found: dict[str, list[_Group]] = {}
    for group in groups:
        found.setdefault(min(strata[row] for row in group), []).append(group)
    return dict(sorted(found.items()))


def _exact(share: float) -> Fraction:
    """The share as it was written: 0.1 is a tenth, not the nearest binary number."""
    return Fraction(repr(share))


def _size(num_rows: int, share: Fraction) -> int:
    return math.floor(num_rows * share + Fraction(1, 2))


def _seats(sizes: Mapping[str, int], capacity: Mapping[str, int], share: Fraction) -> dict[str, int]:
    """Rows that each stratum gives to a part, by largest remainders, within what it has to give."""
    seats = {stratum: min(math.floor(size * share), capacity[stratum]) for stratum, size in sizes.items()}
    left = _size(sum(sizes.values()), share) - sum(seats.values())
    by_remainder = sorted(
        sizes, key=lambda stratum: (math.floor(sizes[stratum] * share) - sizes[stratum] * share, stratum)
    )
    while left > 0 and (open_strata := [s for s in by_remainder if seats[s] < capacity[s]]):
        for stratum in open_strata[:left]:
            seats[stratum] += 1
        left -= min(left, len(open_strata))
    return seats


def _take(groups: list[_Group], seats: int) -> tuple[list[int], list[_Group]]:
    """The first groups that fit into the seats, as rows, and the groups that stay."""
    taken: list[int] = []
    staying: list[_Group] = []
    for group in groups:
        if len(taken) + len(group) <= seats:
            taken += group
        else:
            staying.append(group)
    return taken, staying


def _empty_part(part: Part, share: float, num_rows: int) -> Diagnostic:
    path = f"data.split.{part}"
    smallest = _smallest_share(num_rows)
    if share < smallest < 1:
        help_ = f"the smallest ratio that gives a row is {smallest:g}; or give {part} a file of its own"
        note = f"{share:g} of {num_rows:,} rows is {float(num_rows * _exact(share)):g}, which rounds to 0"
    else:
        help_ = f"add rows, or give {part} a file of its own, or write `{part}: 0`"
        note = f"{num_rows:,} rows; each stratum keeps one for training, and copies of a row stay together"
    return diagnostic("FTC371", f"the {part} split would be empty", help=help_, notes=note, path=path)


def _smallest_share(num_rows: int) -> float:
    """The least ratio of at most three digits that gives one row."""
    exact = Fraction(1, 2 * num_rows)
    digits = 2 - math.floor(math.log10(exact))
    return float(Fraction(math.ceil(exact * 10**digits), 10**digits))
