"""Metrics of groups of the test rows, and how far the groups are apart.

A group's metric is that of its rows alone, as fairlearn's `MetricFrame` has it; a gap is the distance between the
highest and the lowest group. Both come from the sums over rows that intervals come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.metrics.bootstrap import intervals
from ftc.runtime.metrics.gaps import gap_by_chance, gap_interval
from ftc.runtime.metrics.sums import Statistics
from ftc.spec.documents.record import Gap, GroupResult, Interval, SliceResult
from ftc.spec.documents.slices import LABEL, LENGTHS
from ftc.spec.documents.streams import TokenStream
from ftc.spec.metrics import metric_named

__all__ = ["slice_results"]

_Details = Mapping[str, str]
_Grouped = Mapping[str, tuple[Statistics, NDArray[np.bool_]]]
"""By metric what each row adds, and (rows, groups) which group it is in."""


def slice_results(
    slices: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    rows: TokenStream,
    measures: Measures,
    base: Measurement | None,
    tuned: Measurement,
) -> tuple[SliceResult, ...]:
    """Results of every slice, for the metrics that were measured.

    Args:
        slices: Names of the slices.
        columns: Each row's group, by column.
        rows: The split.
        measures: How it is measured.
        base: The untouched model on it, where it was measured.
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
    base: Measurement | None,
    tuned: Measurement,
) -> SliceResult:
    members = np.array([[group == one for one in groups] for group in of_rows], dtype=bool)  # (N, G)

    def grouped(subject: Measurement) -> _Grouped:
        return {
            metric: (one, members[measures.places(metric, subject.scores)])
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
    return {metric: one.of(members[:, place]) for metric, (one, members) in grouped.items()}


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
        kind = metric_named(metric)
        before = [one.base[metric] for one in groups if metric in one.base]
        found[metric] = Gap(
            value=ranked[-1].tuned[metric] - ranked[0].tuned[metric],
            interval=gap_interval(*pair, most=kind.most - kind.least if kind else math.inf),
            by_chance=gap_by_chance(*pair),
            base=max(before) - min(before) if before else None,
            lowest=ranked[0].group,
            highest=ranked[-1].group,
        )
    return found
