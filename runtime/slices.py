"""Metrics of groups of the test rows, and how far the groups are apart.

A group's metric is that of its rows alone, as fairlearn's `MetricFrame` has it; a gap is the distance between the
highest and the lowest group. Both come from the sums over rows that intervals come from, so a gap has one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.bootstrap import Floats, Statistics, intervals
from ftc.runtime.certainty import Apart
from ftc.runtime.measures import Measures
from ftc.spec.record import Gap, GroupResult, Interval, SliceResult
from ftc.spec.slices import LABEL, LENGTHS
from ftc.spec.streams import TokenStream

__all__ = ["gap_by_chance", "gap_statistics", "slice_results"]

_SHUFFLES = 200
"""Deals of rows to groups: the mean gap of so many is known to about a twentieth of a gap's own spread."""

_Details = Mapping[str, str]
_Grouped = Mapping[str, tuple[Statistics, NDArray[np.bool_]]]
"""By metric what each row adds, and (rows, groups) which group it is in."""


def slice_results(
    slices: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    rows: TokenStream,
    measures: Measures,
    base: Apart | None,
    tuned: Apart,
) -> tuple[SliceResult, ...]:
    """Results of every slice, for the metrics that were measured.

    Args:
        slices: Names of the slices.
        columns: Each row's group, by column.
        rows: The split.
        measures: How it is measured.
        base: The untouched model on it, where it was measured, taken apart into rows.
        tuned: The tuned one.
    """
    return tuple(_result(name, *_grouped(name, columns, rows, measures), measures, base, tuned) for name in slices)


def _grouped(
    name: str, columns: Mapping[str, Sequence[str]], rows: TokenStream, measures: Measures
) -> tuple[Sequence[str], list[str], _Details]:
    """Each row's group, the groups in order, and what they are."""
    if name in columns:
        return columns[name], sorted(set(columns[name])), {}
    if name == LABEL:
        labels = [measures.expected(number) for number in range(len(rows))]
        return labels, [label for label in measures.labels if label in set(labels)], {}
    return _lengths(measures.lengths)


def _lengths(lengths: NDArray[np.int64]) -> tuple[list[str], list[str], _Details]:
    """A third of the rows each, as far as rows of one length stay together."""
    first, second = (int(np.quantile(lengths, share, method="inverted_cdf")) for share in (1 / 3, 2 / 3))
    found = [LENGTHS[int(size > first) + int(size > second)] for size in lengths.tolist()]
    ranges = (f"up to {first} tokens", f"{first + 1} to {second} tokens", f"more than {second} tokens")
    return found, [name for name in LENGTHS if name in found], dict(zip(LENGTHS, ranges, strict=True))


def _result(
    name: str,
    of_rows: Sequence[str],
    groups: Sequence[str],
    details: _Details,
    measures: Measures,
    base: Apart | None,
    tuned: Apart,
) -> SliceResult:
    members = np.array([[group == one for one in groups] for group in of_rows], dtype=bool)  # (N, G)

    def grouped(subject: Apart) -> _Grouped:
        return {
            metric: (one, members[measures.places(metric, subject.measured.scores)])
            for metric, one in subject.statistics.items()
        }

    of_tuned, of_base = grouped(tuned), grouped(base) if base else {}
    found = tuple(
        _group(group, details.get(group, ""), _parts(of_base, place), _parts(of_tuned, place))
        for place, group in enumerate(groups)
    )
    return SliceResult(slice=name, groups=found, gaps=_gaps(found, of_tuned) if len(groups) > 1 else {})


def _group(name: str, detail: str, base: Mapping[str, Statistics], tuned: Mapping[str, Statistics]) -> GroupResult:
    return GroupResult(
        group=name,
        detail=detail,
        rows=len(next(iter(tuned.values())).rows),
        tuned={metric: one.observed for metric, one in tuned.items()},
        base={metric: one.observed for metric, one in base.items()},
        intervals=_intervals(tuned),
    )


def _parts(grouped: _Grouped, place: int) -> dict[str, Statistics]:
    """Metrics of the rows of one group alone."""
    return {metric: Statistics(one.rows[members[:, place]], one.value) for metric, (one, members) in grouped.items()}


def _intervals(apart: Mapping[str, Statistics]) -> dict[str, Interval]:
    """Intervals of metrics of the same group, of those that its rows can tell."""
    found: dict[str, Interval] = {}
    for size in {len(one.rows) for one in apart.values()}:
        names = [name for name, one in apart.items() if len(one.rows) == size]
        known = zip(names, intervals([apart[name] for name in names]), strict=True)
        found |= {name: one for name, one in known if one is not None}
    return {name: found[name] for name in apart if name in found}


def _gaps(groups: Sequence[GroupResult], of_tuned: _Grouped) -> dict[str, Gap]:
    found: dict[str, Gap] = {}
    for metric, pair in of_tuned.items():
        ranked = sorted(groups, key=lambda one: one.tuned[metric])
        sure = intervals([gap_statistics(*pair)])[0]
        before = [one.base[metric] for one in groups if metric in one.base]
        found[metric] = Gap(
            value=ranked[-1].tuned[metric] - ranked[0].tuned[metric],
            interval=Interval(low=max(0.0, sure.low), high=sure.high) if sure else None,
            by_chance=gap_by_chance(*pair),
            base=max(before) - min(before) if before else None,
            lowest=ranked[0].group,
            highest=ranked[-1].group,
        )
    return found


def gap_statistics(statistics: Statistics, members: NDArray[np.bool_]) -> Statistics:
    """A metric's gap between groups, taken apart into rows: each group has its own columns, and a one a row.

    In a draw of rows that holds none of a group, the gap is that of the others.
    """
    width, count = statistics.rows.shape[1], members.shape[1]
    own = [statistics.rows * members[:, [place]] for place in range(count)]
    rows = np.hstack([*own, members.astype(np.float64)])

    def value(sums: Floats) -> Floats:
        parts = [sums[..., place * width : (place + 1) * width] for place in range(count)]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.stack([_value(statistics.value, part) for part in parts], axis=-1)
        return _gap(values, sums[..., -count:] > 0)

    return Statistics(rows, value)


def gap_by_chance(statistics: Statistics, members: NDArray[np.bool_], *, seed: int = 0) -> float | None:
    """The mean gap where rows are dealt to groups of the same sizes by lot, so that no group differs from another.

    An observed gap is biased upwards by what chance adds; where the groups don't differ at all, it adds so much.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    sizes = members.sum(axis=0)
    ends = np.cumsum(sizes[sizes > 0])
    starts = ends - sizes[sizes > 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        deals = (statistics.rows[generator.permutation(len(members))] for _ in range(_SHUFFLES))
        values = np.stack([_value(statistics.value, np.add.reduceat(rows, starts)) for rows in deals])
    mean = float(_gap(values, np.ones_like(values, dtype=bool)).mean())
    return mean if math.isfinite(mean) else None


def _gap(values: Floats, is_there: NDArray[np.bool_]) -> Floats:
    """(...) the gap of (..., groups) values, of those that are there."""
    highest = np.where(is_there, values, -np.inf).max(axis=-1)
    return np.asarray(highest - np.where(is_there, values, np.inf).min(axis=-1))


def _value(metric: Callable[[Floats], Floats], sums: Floats) -> Floats:
    return np.asarray(metric(sums), dtype=np.float64)
