"""Divides rows into training, validation and test. Pure.

The division follows from the rows' contents and the seed alone. By `share`, units of rows are put in the order of
sha256(seed, key), so another order of the file changes nothing, and a row keeps its part when others are added, unless
it lies at the border between two parts. By `hash`, each unit's own digest decides, so that a row never moves. By time,
the newest are test. Rows with the same content stay together, since a row that is trained on measures nothing.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.in_processes import ranges
from ftc.compiler.resolve.rows.row_digests import Digests, first_equal, in_order
from ftc.compiler.resolve.rows.seeded_order import ranks_of
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.streams import Split as Part
from ftc.spec.sections.data import Split

__all__ = ["MEASURED", "Part", "connected", "divide", "num_copies"]


@dataclass(frozen=True, slots=True)
class Units:
    """The smallest sets of rows that may be parted, in an order; rows in sets that stay together are beside each other.

    Attributes:
        rows: (rows,) Row numbers, one set behind the other, ascending in each.
        bounds: (units + 1,) Where each set begins.
        ranks: The seeded order of the sets.
        strata: (units,) Number of each set's stratum: what keeps its proportions in every part.
        names: The strata, sorted; one that is empty where nothing keeps its proportions.
    """

    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    ranks: Digests
    strata: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        seed: int,
        keys: Sequence[bytes],
        *,
        groups: Sequence[str] | None = None,
        alike: Sequence[int] | None = None,
        strata: Sequence[str] | None = None,
    ) -> Self:
        """The sets in the order of their first rows.

        Args:
            seed: Of the order.
            keys: Digest of each row's content; equal ones stay together.
            groups: Each row's group. Groups that share a copy of a row stay together, too.
            alike: For each row, a number that it shares with all rows that resemble it.
            strata: Each row's stratum. A set's is the one that most of its rows have, the least of several such.
        """

        def key_of(row: int) -> bytes:
            return keys[row] if groups is None else _plain(groups[row])

        firsts = [_first_of(column) for column in (keys, groups, alike) if column is not None]
        roots = firsts[0] if len(firsts) == 1 else connected(len(keys), _pairs_of(firsts))
        rows = np.argsort(roots, kind="stable")
        bounds = np.append(np.flatnonzero(np.diff(roots[rows], prepend=-1)), len(rows))
        names = tuple(sorted(set(strata))) if strata is not None else ("",)
        units = cls(rows, bounds, Digests(b""), np.zeros(len(bounds) - 1, np.int64), names)
        numbers = {name: number for number, name in enumerate(names)}
        named = rows[bounds[:-1]]  # the row of each set that its place in the order follows from
        if strata is not None:
            units.strata[:] = np.fromiter(map(numbers.__getitem__, strata), np.int64, len(keys))[named]
        for unit in np.flatnonzero(units.sizes > 1).tolist():
            some: list[int] = rows[bounds[unit] : bounds[unit + 1]].tolist()
            named[unit] = min(some, key=key_of)
            if strata is not None:
                counts = Counter(strata[row] for row in some)
                units.strata[unit] = numbers[min(counts, key=lambda name: (-counts[name], name))]
        return replace(units, ranks=ranks_of(seed, named, key_of))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(units,) Rows of each set."""
        return np.diff(self.bounds)

    def sorted(self, *before: NDArray[Any]) -> Self:
        """The sets by values of theirs, and then in the seeded order, which has no ranks any more."""
        which = in_order(self.ranks, *before)
        bounds = np.concatenate([[0], np.cumsum(self.sizes[which])])
        return replace(self, rows=self.rows_of(which), bounds=bounds, ranks=Digests(b""), strata=self.strata[which])

    def rows_of(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some sets, one set behind the other."""
        sizes = self.sizes[which]
        ends = np.cumsum(sizes)
        places: NDArray[np.int64] = np.repeat(self.bounds[:-1][which] - ends + sizes, sizes) + np.arange(sizes.sum())
        return self.rows[places]


def _plain(group: str) -> bytes:
    return group.encode("utf-8", "surrogatepass")


def _pairs_of(firsts: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, int]]:
    """Each row with the first one that it shares a value with, where that is another."""
    for first in firsts:
        for piece in ranges(len(first), _AT_ONCE):
            some, rows = first[piece.start : piece.stop], np.arange(piece.start, piece.stop)
            is_later = some != rows
            yield from zip(some[is_later].tolist(), rows[is_later].tolist(), strict=True)


def _first_of(values: Sequence[Any]) -> NDArray[np.int64]:
    """(rows,) For each row, the first row with the same value."""
    if isinstance(values, Digests):
        return first_equal(values)
    if isinstance(values, array):
        _, first_at, places = np.unique(np.array(values), return_index=True, return_inverse=True)
        return np.asarray(first_at[places], np.int64)
    first: dict[Any, int] = {}
    return np.fromiter((first.setdefault(value, row) for row, value in enumerate(values)), np.int64, len(values))


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """(rows,) For each of so many rows, the first row that pairs lead to from it, directly or by way of others."""
    roots = array("q", range(count))

    def root(row: int) -> int:
        while roots[row] != row:
            roots[row] = row = roots[roots[row]]
        return row

    for pair in pairs:
        a, b = sorted(map(root, pair))
        roots[b] = a
    found = np.array(roots)
    while (found[found] != found).any():
        found = found[found]
    return found


MEASURED: tuple[Part, Part] = ("test", "validation")
"""The parts that are never trained on, in the order in which they take their rows."""

_MOST_TRIED = 500  # rows up to which a part is tried, when the smallest ratio that works is looked for
_AT_ONCE = 1 << 14
_Parts = dict[Part, NDArray[np.int64]]


def divide(
    keys: Sequence[bytes],
    split: Split,
    strata: Sequence[str] | None = None,
    *,
    groups: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    alike: Sequence[int] | None = None,
) -> tuple[dict[Part, array[int]], list[Diagnostic]]:
    """Row numbers by part, ascending. Parts with a file of their own, or a share of 0, are absent.

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
        if groups is not None:
            units = Units.of(split.seed, [*map(_plain, groups)])
        else:
            rows, ranks = np.arange(len(keys)), ranks_of(split.seed, range(len(keys)), keys.__getitem__)
            units = Units(rows, np.arange(len(keys) + 1), ranks, np.zeros(len(keys), np.int64), ("",))
        parts = _by_hash(units, asked)
    elif times is not None:
        units = Units.of(split.seed, keys, alike=alike)
        oldest = np.minimum.reduceat(np.array(times)[units.rows], units.bounds[:-1])
        units = units.sorted(-oldest)
        parts = _by_time(units, asked)
    else:
        units = Units.of(split.seed, keys, groups=groups, alike=alike, strata=strata).sorted()
        parts = _by_share(units, asked)
    findings = [_empty_part(part, asked[part], units, split) for part in asked if not len(parts[part])]
    if split.fold_of is not None:
        parts["validation"], parts["train"] = _fold(units, parts["train"], *split.fold_of)
        if not len(parts["validation"]) or not len(parts["train"]):
            summary, help = f"fold {split.fold} has no row", "use fewer folds, or more rows"
            findings.append(diagnostic("FTC371", summary, help=help, path="data.split.fold"))
    return {part: array("q", np.sort(rows).tobytes()) for part, rows in parts.items()}, findings


def num_copies(keys: Sequence[bytes]) -> int:
    """Rows whose content an earlier row has already."""
    return int((_first_of(keys) != np.arange(len(keys))).sum())


def _by_hash(units: Units, shares: Mapping[Part, float]) -> _Parts:
    """Each unit by its own digest, read as a fraction of 1: below the share of test it is test, and so on."""
    places, border, below = units.ranks.words()[:, 0], Fraction(0), np.zeros(len(units), np.bool_)
    parts: _Parts = {}
    for part, share in shares.items():
        border += _exact(share)
        limit = math.ceil(border * 2**64)
        is_below = places < np.uint64(limit) if limit < 2**64 else np.ones(len(units), np.bool_)
        parts[part] = units.rows_of(np.flatnonzero(is_below & ~below))
        below |= is_below
    return {**parts, "train": units.rows_of(np.flatnonzero(~below))}


def _by_time(units: Units, shares: Mapping[Part, float]) -> _Parts:
    parts: _Parts = {}
    num_rows, first = len(units.rows), 0
    for part, share in shares.items():
        begin = int(units.bounds[first])
        seats = min(_size(num_rows, _exact(share)), num_rows - begin - 1)
        last = int(np.searchsorted(units.bounds, begin + seats, side="right")) - 1
        parts[part] = units.rows[begin : units.bounds[last]]
        first = last
    parts["train"] = units.rows[units.bounds[first] :]
    return parts


def _by_share(units: Units, shares: Mapping[Part, float]) -> _Parts:
    remaining = {number: np.flatnonzero(units.strata == number) for number in np.unique(units.strata).tolist()}
    sizes = {units.names[number]: int(units.sizes[which].sum()) for number, which in remaining.items()}
    left, parts = dict(sizes), _Parts()
    for part, share in shares.items():
        seats = _seats(sizes, {stratum: rows - 1 for stratum, rows in left.items()}, _exact(share))
        taken = [np.zeros(0, np.int64)]
        for number, which in remaining.items():
            name = units.names[number]
            is_taken = _take(units.sizes[which], seats[name])
            taken.append(units.rows_of(which[is_taken]))
            remaining[number] = which[~is_taken]
            left[name] -= len(taken[-1])
        parts[part] = np.concatenate(taken)
    parts["train"] = units.rows_of(np.concatenate([np.zeros(0, np.int64), *remaining.values()]))
    return parts


def _fold(
    units: Units, rows: NDArray[np.int64], number: int, folds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One of so many folds of some rows, and all other folds.

    Units go, the largest first and else in the seeded order, to the fold that has the fewest rows of their stratum.
    """
    is_divided, kept = np.isin(units.rows[units.bounds[:-1]], rows), list[int]()
    counts = [[0] * folds for _ in units.names]
    totals, sizes = [0] * folds, units.sizes
    for unit in np.argsort(-sizes, kind="stable").tolist():
        if is_divided[unit]:
            own, size = counts[units.strata[unit]], int(sizes[unit])
            fold = min(range(folds), key=lambda one: (own[one], totals[one], one))
            own[fold] += size
            totals[fold] += size
            kept += [unit] if fold == number - 1 else []
    chosen = units.rows_of(np.array(kept, np.int64))
    return chosen, np.setdiff1d(rows, chosen)


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


def _take(sizes: NDArray[np.int64], seats: int) -> NDArray[np.bool_]:
    """(units,) Whether each unit, in its turn, fits into the seats that are left."""
    is_taken = np.zeros(len(sizes), np.bool_)
    if (sizes == 1).all():
        is_taken[:seats] = True
        return is_taken
    for unit in range(len(sizes)):
        if seats <= 0:
            break
        if sizes[unit] <= seats:
            is_taken[unit] = True
            seats -= int(sizes[unit])
    return is_taken


def _empty_part(part: Part, share: float, units: Units, split: Split) -> Diagnostic:
    num_rows = len(units.rows)
    smallest = _smallest_share(part, share, units, split)
    if smallest is not None:
        help_ = f"the smallest ratio that gives a row is {smallest:g}; or use a separate file for {part}"
        note = f"{share:g} of {num_rows:,} rows is {float(num_rows * _exact(share)):g}"
        least = int(units.sizes.min())
        if _size(num_rows, _exact(share)) == 0:
            note += ", which rounds to 0"
        elif least > 1:
            note += f", and the smallest group of rows that stay together has {least:,}"
    else:
        help_ = f"add rows, use a separate file for {part}, or write `{part}: 0`"
        strata = len(np.unique(units.strata))
        among = f"{strata:,} strata, each keeps one for training" if strata > 1 else "one is kept for training"
        alike = "near duplicates" if split.together == "alike" else "duplicates"
        together = f"rows with the same `{split.group}`" if split.group else alike
        note = f"{num_rows:,} row{'' if num_rows == 1 else 's'}; {among}, and {together} stay together"
    summary = f"the {part} split would be empty"
    return diagnostic("FTC371", summary, help=help_, notes=note, path=f"data.split.{part}")


def _smallest_share(part: Part, share: float, units: Units, split: Split) -> float | None:
    """The least ratio of at most three digits with which this part gets a row; None where none is found."""
    num_rows = len(units.rows)
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
            parts = _by_hash(units, shares)
        else:
            parts = _by_time(units, shares) if split.time else _by_share(units, shares)
        if len(parts[part]) and len(parts["train"]):
            return ratio
    return None
