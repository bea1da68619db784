"""Divides rows into training, validation and test. Pure.

The division follows from the rows' contents and the seed alone. By `share`, units of rows are put in the order of
sha256(seed, key), so another order of the file changes nothing, and a row keeps its part when others are added, unless
it lies at the border between two parts. By `hash`, each unit's own digest decides, so that a row never moves. By time,
the newest are test. Rows with the same content stay together, since a row that is trained on measures nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ftc.compiler.resolve.rows.units import Unit, make_units, rank
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.streams import Split as Part
from ftc.spec.sections.data import Split

__all__ = ["MEASURED", "Part", "divide", "first_rows", "num_copies"]

MEASURED: tuple[Part, Part] = ("test", "validation")
"""The parts that are never trained on, in the order in which they take their rows."""

_MOST_TRIED = 500
"""Rows up to which a part is tried, when the smallest ratio that works is looked for."""
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
        The parts, and FTC371 for each part that would be empty.
    """
    shares: dict[Part, object] = {part: getattr(split, part) for part in MEASURED}
    asked: dict[Part, float] = {part: share for part, share in shares.items() if isinstance(share, float) and share > 0}
    if split.by == "hash":
        units = [Unit(key, (row,)) for row, key in enumerate(keys)] if groups is None else _of_groups(groups)
        parts = _by_hash(units, asked, split.seed)
    elif times is not None:
        units = _newest_first(make_units(keys, alike=alike), times, split.seed)
        parts = _by_time(units, asked)
    else:
        units = make_units(keys, groups=groups, alike=alike, strata=strata)
        units.sort(key=lambda unit: (rank(unit.key, split.seed), unit.rows))
        parts = _by_share(units, asked)
    findings = [_empty_part(part, asked[part], units, split) for part in asked if not parts[part]]
    return {part: sorted(rows) for part, rows in parts.items()}, findings


def first_rows(rows: Sequence[int], keys: Sequence[bytes], seed: int, most: int) -> list[int]:
    """At most so many of the rows: the first in the seeded order. Ascending."""
    return sorted(sorted(rows, key=lambda row: (rank(keys[row], seed), row))[:most])


def num_copies(keys: Sequence[bytes]) -> int:
    """Rows whose content an earlier row has already."""
    return len(keys) - len(set(keys))


def _of_groups(groups: Sequence[str]) -> list[Unit]:
    return make_units([group.encode("utf-8", "surrogatepass") for group in groups])


def _part_at(place: Fraction, borders: Sequence[tuple[Part, Fraction]]) -> Part:
    for part, border in borders:
        if place < border:
            return part
    return "train"


def _by_hash(units: Sequence[Unit], shares: Mapping[Part, float], seed: int) -> _Parts:
    """Each unit by its own digest, read as a fraction of 1: below the share of test it is test, and so on."""
    borders: list[tuple[Part, Fraction]] = []
    for part, share in shares.items():
        borders.append((part, _exact(share) + (borders[-1][1] if borders else 0)))
    parts: _Parts = {part: [] for part in (*shares, "train")}
    for unit in units:
        place = Fraction(int.from_bytes(rank(unit.key, seed)[:8]), 2**64)
        parts[_part_at(place, borders)] += unit.rows
    return parts


def _newest_first(units: Sequence[Unit], times: Sequence[float], seed: int) -> list[Unit]:
    """Units by their oldest row: a copy of what was known before measures nothing."""
    return sorted(units, key=lambda unit: (-min(times[row] for row in unit.rows), rank(unit.key, seed)))


def _by_time(units: Sequence[Unit], shares: Mapping[Part, float]) -> _Parts:
    num_rows = sum(len(unit.rows) for unit in units)
    parts: _Parts = {}
    waiting = deque(units)
    for part, share in shares.items():
        seats = min(_size(num_rows, _exact(share)), sum(len(unit.rows) for unit in waiting) - 1)
        taken: list[int] = []
        while waiting and len(taken) + len(waiting[0].rows) <= seats:
            taken += waiting.popleft().rows
        parts[part] = taken
    parts["train"] = [row for unit in waiting for row in unit.rows]
    return parts


def _by_share(units: Sequence[Unit], shares: Mapping[Part, float]) -> _Parts:
    remaining = _strata(units)
    sizes = {stratum: _num_rows(found) for stratum, found in remaining.items()}
    parts: _Parts = {}
    for part, share in shares.items():
        seats = _seats(sizes, {s: _num_rows(found) - 1 for s, found in remaining.items()}, _exact(share))
        parts[part] = []
        for stratum, found in remaining.items():
            rows, remaining[stratum] = _take(found, seats[stratum])
            parts[part] += rows
    parts["train"] = [row for found in remaining.values() for unit in found for row in unit.rows]
    return parts


def _num_rows(units: Sequence[Unit]) -> int:
    return sum(len(unit.rows) for unit in units)


def _strata(units: Sequence[Unit]) -> dict[str, list[Unit]]:
    """Units by stratum, in the order of the strata's names."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.stratum, []).append(unit)
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
    path = f"data.split.{part}"
    num_rows = _num_rows(units)
    smallest = _smallest_share(part, share, units, split)
    if smallest is not None:
        help_ = f"the smallest ratio that gives a row is {smallest:g}; or give {part} a file of its own"
        note = f"{share:g} of {num_rows:,} rows is {float(num_rows * _exact(share)):g}{_why_empty(share, units)}"
    else:
        help_ = f"add rows, or give {part} a file of its own, or write `{part}: 0`"
        strata = len({unit.stratum for unit in units})
        among = f"{strata:,} strata, each of which keeps one for training" if strata > 1 else "one is kept for training"
        note = f"{num_rows:,} row{'' if num_rows == 1 else 's'}; {among}, and {_together(split)} stay together"
    return diagnostic("FTC371", f"the {part} split would be empty", help=help_, notes=note, path=path)


def _together(split: Split) -> str:
    alike = "rows that are alike" if split.together == "alike" else "copies of a row"
    return f"rows of one `{split.group}`" if split.group else alike


def _why_empty(share: float, units: Sequence[Unit]) -> str:
    if _size(_num_rows(units), _exact(share)) == 0:
        return ", which rounds to 0"
    least = min(len(unit.rows) for unit in units)
    return f", and the smallest set of rows that stay together has {least:,}" if least > 1 else ""


def _smallest_share(part: Part, share: float, units: Sequence[Unit], split: Split) -> float | None:
    """The least ratio of at most three digits with which this part gets a row; None where none is found."""
    num_rows = _num_rows(units)
    for rows in range(1, min(num_rows, _MOST_TRIED)):
        ratio = _rounded_up(Fraction(2 * rows - 1, 2 * num_rows))
        others: dict[Part, float] = {
            name: size for name in MEASURED if name != part and isinstance(size := getattr(split, name), float)
        }
        if ratio <= share or ratio + sum(others.values()) >= 1:
            continue
        if _would_fill(part, ratio, {**others}, units, split):
            return ratio
    return None


def _would_fill(part: Part, ratio: float, others: dict[Part, float], units: Sequence[Unit], split: Split) -> bool:
    shares: dict[Part, float] = {name: {**others, part: ratio}[name] for name in MEASURED if name in {*others, part}}
    if split.by == "hash":
        parts = _by_hash(units, shares, split.seed)
    else:
        parts = _by_time(units, shares) if split.time else _by_share(units, shares)
    return bool(parts[part]) and bool(parts["train"])


def _rounded_up(exact: Fraction) -> float:
    """A ratio with three digits, not less than this one."""
    digits = 2 - math.floor(math.log10(exact))
    return float(Fraction(math.ceil(exact * 10**digits), 10**digits))
