"""Divides rows into training, validation and test. Pure.

The division follows from the rows' contents and the seed alone. By `share`, units of rows are put in the order of
sha256(seed, key), so another order of the file changes nothing, and a row keeps its part when others are added, unless
it lies at the border between two parts. By `hash`, each unit's own digest decides, so that a row never moves. By time,
the newest are test. Rows with the same content stay together, since a row that is trained on measures nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.streams import Split as Part
from ftc.spec.sections.data import Split

__all__ = [
    "MEASURED",
    "Part",
    "Unit",
    "connected",
    "divide",
    "first_rows",
    "make_units",
    "num_copies",
    "rank",
]


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
    units = []
    for rows in sets:
        stratum = ""
        if strata is not None:
            counts = Counter(strata[row] for row in rows)
            stratum = min(counts, key=lambda name: (-counts[name], name))
        units.append(Unit(min(names[row] for row in rows), tuple(rows), stratum))
    return units


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


MEASURED: tuple[Part, Part] = ("test", "validation")
"""The parts that are never trained on, in the order in which they take their rows."""

_MOST_TRIED = 500  # rows up to which a part is tried, when the smallest ratio that works is looked for
_Parts = dict[Part, list[int]]


def divide(
    keys: Sequence[bytes],
    split: Split,
    strata: Sequence[str] | None = None,
    *,
    groups: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    alike: Sequence[int] | None = None,
) -> tuple[dict[Part, list[int]], list[Diagnostic]]:
    """Row numbers by part, each list ascending. Parts with a file of their own, or a share of 0, are absent.

    By share, a part has `share * rows` rows, rounded half up. With strata, each stratum's rows are divided in the same
    proportion, and what rounding leaves goes to the strata with the largest remainders; each stratum keeps a row for
    training. Units stay together, so a part falls short of its size where no unit fits any more.

    Args:
        keys: Digest of each row's content.
        split: Shares, seed and kind of division.
        strata: What keeps its proportions in every part, for each row.
        groups: Each row's group; no group is in two parts.
        times: Each row's time; no training row is newer than a validation row, and none of these newer than a test row.
        alike: For each row, a number that it shares with all rows that resemble it, which then stay together; by hash,
            where a row's part follows from that row alone, it is passed over.

    Returns:
        The parts, and FTC371 for each part that would be empty. With a fold, validation is that part of all rows that
        are not test rows.
    """
    shares: dict[Part, object] = {
        part: getattr(split, part) for part in MEASURED if part != "validation" or split.fold is None
    }
    asked: dict[Part, float] = {part: share for part, share in shares.items() if isinstance(share, float) and share > 0}
    if split.by == "hash":
        units = (
            [Unit(key, (row,)) for row, key in enumerate(keys)]
            if groups is None
            else make_units([group.encode("utf-8", "surrogatepass") for group in groups])
        )
        parts = _by_hash(units, asked, split.seed)
    elif times is not None:
        units = sorted(
            make_units(keys, alike=alike),
            key=lambda unit: (-min(times[row] for row in unit.rows), rank(unit.key, split.seed)),
        )
        parts = _by_time(units, asked)
    else:
        units = make_units(keys, groups=groups, alike=alike, strata=strata)
        units.sort(key=lambda unit: (rank(unit.key, split.seed), unit.rows))
        parts = _by_share(units, asked)
    findings = [_empty_part(part, asked[part], units, split) for part in asked if not parts[part]]
    if split.fold_of is not None:
        parts["validation"], parts["train"] = _fold(units, parts["train"], *split.fold_of)
        if not parts["validation"] or not parts["train"]:
            summary, help = f"fold {split.fold} has no row", "use fewer folds, or more rows"
            findings.append(diagnostic("FTC371", summary, help=help, path="data.split.fold"))
    return {part: sorted(rows) for part, rows in parts.items()}, findings


def first_rows(rows: Sequence[int], keys: Sequence[bytes], seed: int, most: int) -> list[int]:
    """At most so many of the rows: the first in the seeded order. Ascending."""
    return sorted(sorted(rows, key=lambda row: (rank(keys[row], seed), row))[:most])


def num_copies(keys: Sequence[bytes]) -> int:
    """Rows whose content an earlier row has already."""
    return len(keys) - len(set(keys))


def _by_hash(units: Sequence[Unit], shares: Mapping[Part, float], seed: int) -> _Parts:
    """Each unit by its own digest, read as a fraction of 1: below the share of test it is test, and so on."""
    borders: list[tuple[Part, Fraction]] = []
    for part, share in shares.items():
        borders.append((part, _exact(share) + (borders[-1][1] if borders else 0)))
    parts: _Parts = {part: [] for part in (*shares, "train")}
    for unit in units:
        place = Fraction(int.from_bytes(rank(unit.key, seed)[:8]), 2**64)
        below: list[Part] = [part for part, border in borders if place < border]
        parts[below[0] if below else "train"] += unit.rows
    return parts


def _by_time(units: Sequence[Unit], shares: Mapping[Part, float]) -> _Parts:
    parts: _Parts = {}
    waiting = deque(units)
    num_rows = num_waiting = sum(len(unit.rows) for unit in units)
    for part, share in shares.items():
        seats = min(_size(num_rows, _exact(share)), num_waiting - 1)
        taken: list[int] = []
        while waiting and len(taken) + len(waiting[0].rows) <= seats:
            taken += waiting.popleft().rows
        num_waiting -= len(taken)
        parts[part] = taken
    parts["train"] = [row for unit in waiting for row in unit.rows]
    return parts


def _by_share(units: Sequence[Unit], shares: Mapping[Part, float]) -> _Parts:
    remaining: dict[str, list[Unit]] = {stratum: [] for stratum in sorted({unit.stratum for unit in units})}
    for unit in units:
        remaining[unit.stratum].append(unit)
    sizes = {stratum: sum(len(unit.rows) for unit in found) for stratum, found in remaining.items()}
    left = dict(sizes)
    parts: _Parts = {}
    for part, share in shares.items():
        seats = _seats(sizes, {stratum: rows - 1 for stratum, rows in left.items()}, _exact(share))
        parts[part] = []
        for stratum, found in remaining.items():
            rows, remaining[stratum] = _take(found, seats[stratum])
            parts[part] += rows
            left[stratum] -= len(rows)
    parts["train"] = [row for found in remaining.values() for unit in found for row in unit.rows]
    return parts


def _fold(units: Sequence[Unit], rows: Sequence[int], number: int, folds: int) -> tuple[list[int], list[int]]:
    """One of so many folds of some rows, and all other folds.

    Units go, the largest first and else in the seeded order, to the fold that has the fewest rows of their stratum.
    """
    divided, kept = {*rows}, list[int]()
    sizes: dict[str, list[int]] = {unit.stratum: [0] * folds for unit in units}
    totals = [0] * folds
    for unit in sorted(units, key=lambda unit: -len(unit.rows)):
        if unit.rows[0] in divided:
            counts = sizes[unit.stratum]
            fold = min(range(folds), key=lambda one: (counts[one], totals[one], one))
            counts[fold] += len(unit.rows)
            totals[fold] += len(unit.rows)
            kept += unit.rows if fold == number - 1 else ()
    return kept, sorted(divided - {*kept})


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


def _take(units: Sequence[Unit], seats: int) -> tuple[list[int], list[Unit]]:
    """The first units that fit into the seats, as rows, and the units that stay."""
    taken: list[int] = []
    staying: list[Unit] = []
    for unit in units:
        if len(taken) + len(unit.rows) <= seats:
            taken += unit.rows
        else:
            staying.append(unit)
    return taken, staying


def _empty_part(part: Part, share: float, units: Sequence[Unit], split: Split) -> Diagnostic:
    num_rows = sum(len(unit.rows) for unit in units)
    smallest = _smallest_share(part, share, units, split)
    if smallest is not None:
        help_ = f"the smallest ratio that gives a row is {smallest:g}; or use a separate file for {part}"
        note = f"{share:g} of {num_rows:,} rows is {float(num_rows * _exact(share)):g}"
        least = min(len(unit.rows) for unit in units)
        if _size(num_rows, _exact(share)) == 0:
            note += ", which rounds to 0"
        elif least > 1:
            note += f", and the smallest group of rows that stay together has {least:,}"
    else:
        help_ = f"add rows, use a separate file for {part}, or write `{part}: 0`"
        strata = len({unit.stratum for unit in units})
        among = f"{strata:,} strata, each keeps one for training" if strata > 1 else "one is kept for training"
        alike = "near duplicates" if split.together == "alike" else "duplicates"
        together = f"rows with the same `{split.group}`" if split.group else alike
        note = f"{num_rows:,} row{'' if num_rows == 1 else 's'}; {among}, and {together} stay together"
    summary = f"the {part} split would be empty"
    return diagnostic("FTC371", summary, help=help_, notes=note, path=f"data.split.{part}")


def _smallest_share(part: Part, share: float, units: Sequence[Unit], split: Split) -> float | None:
    """The least ratio of at most three digits with which this part gets a row; None where none is found."""
    num_rows = sum(len(unit.rows) for unit in units)
    shares: dict[Part, float] = {
        name: size for name in MEASURED if isinstance(size := getattr(split, name), float) or name == part
    }
    others = sum(size for name, size in shares.items() if name != part)
    for rows in range(1, min(num_rows, _MOST_TRIED)):
        exact = Fraction(2 * rows - 1, 2 * num_rows)
        digits = 2 - math.floor(math.log10(exact))
        ratio = shares[part] = float(Fraction(math.ceil(exact * 10**digits), 10**digits))
        if ratio <= share or ratio + others >= 1:
            continue
        if split.by == "hash":
            parts = _by_hash(units, shares, split.seed)
        else:
            parts = _by_time(units, shares) if split.time else _by_share(units, shares)
        if parts[part] and parts["train"]:
            return ratio
    return None
