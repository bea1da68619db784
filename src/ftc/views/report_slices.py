"""The report's part on groups of test rows: every metric by group, base beside tuned, and the largest gaps."""

from __future__ import annotations

from ftc.spec.record import Evaluation, GroupResult, SliceResult
from ftc.views import numbers
from ftc.views.headline import metric_title
from ftc.views.report_elements import section, table, text
from ftc.views.slices import FEW_ROWS

__all__ = ["slices_section"]


def slices_section(evaluation: Evaluation | None) -> str:
    """A table for each slice; empty where results are not told apart."""
    if evaluation is None or not evaluation.slices:
        return ""
    few = any(group.rows < FEW_ROWS for one in evaluation.slices for group in one.groups)
    note = f"<p>Groups of fewer than {FEW_ROWS} rows are marked: their figures say little.</p>" if few else ""
    parts = (part for one in evaluation.slices for part in (_groups(one), _gaps(one)))
    return section("slices", "Groups of test rows", note, *parts)


def _groups(one: SliceResult) -> str:
    metrics = list(one.groups[0].tuned)
    has_base = any(group.base for group in one.groups)
    titles = [
        title
        for metric in metrics
        for title in (
            *((f"{metric_title(metric)}, base",) if has_base else ()),
            f"{metric_title(metric)}, tuned",
            "95 % interval",
        )
    ]
    rows = [(_name(group), numbers.count(group.rows), *_cells(group, metrics, has_base)) for group in one.groups]
    header = ("group", "rows", *titles)
    return table(f"By {one.slice}", header, rows, right=range(1, len(header)))


def _name(group: GroupResult) -> str:
    detail = f" <small>({text(group.detail)})</small>" if group.detail else ""
    few = " <small>(few rows)</small>" if group.rows < FEW_ROWS else ""
    return f"{text(group.group)}{detail}{few}"


def _cells(group: GroupResult, metrics: list[str], has_base: bool) -> list[str]:
    cells: list[str] = []
    for metric in metrics:
        sure = group.intervals.get(metric)
        cells += [numbers.metric(group.base[metric]) if metric in group.base else "–"] if has_base else []
        cells.append(numbers.metric(group.tuned[metric]))
        cells.append(f"{numbers.metric(sure.low)} to {numbers.metric(sure.high)}" if sure else "–")
    return cells


def _gaps(one: SliceResult) -> str:
    rows = [
        (
            text(metric_title(metric)),
            "–" if gap.base is None else numbers.metric(gap.base),
            numbers.metric(gap.value),
            f"{numbers.metric(gap.interval.low)} to {numbers.metric(gap.interval.high)}" if gap.interval else "–",
            text(gap.lowest),
            text(gap.highest),
        )
        for metric, gap in one.gaps.items()
    ]
    header = ("metric", "gap, base", "gap, tuned", "95 % interval", "lowest, tuned", "highest, tuned")
    return table(f"Largest gap between groups, by {one.slice}", header, rows, right=(1, 2, 3))
