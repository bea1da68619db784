"""The report's part on groups of test rows: every metric by group, base beside tuned, and the largest gaps."""

from __future__ import annotations

from ftc.spec.documents.record import Evaluation, GroupResult, SliceResult
from ftc.views import numbers
from ftc.views.headline import main_metric, metric_title
from ftc.views.report.charts import Axis, Drawer, Range, Ranges, are_shares, figure
from ftc.views.report.elements import section, table, text
from ftc.views.slices import FEW_ROWS, by_chance

__all__ = ["slices_section"]


_MOST_DRAWN = 30
"""Groups that still fit in a picture."""


def slices_section(evaluation: Evaluation | None, drawn: Drawer) -> str:
    """A chart and tables for each slice; empty where results are not told apart."""
    if evaluation is None or not evaluation.slices:
        return ""
    few = any(group.rows < FEW_ROWS for one in evaluation.slices for group in one.groups)
    note = f"<p>Groups of fewer than {FEW_ROWS} rows are marked: their figures say little.</p>" if few else ""
    main = main_metric(evaluation)
    parts = (
        part
        for number, one in enumerate(evaluation.slices)
        for part in (figure(_chart(one, number, main), drawn), _groups(one), _gaps(one))
    )
    return section("slices", "Groups of test rows", note, *parts)


def _chart(one: SliceResult, number: int, metric: str) -> Ranges:
    """The groups in the metric that stands for all, with the interval of each."""
    groups = [group for group in one.groups if metric in group.tuned]
    title = metric_title(metric)
    rows = [(group.group, _ranges(group, metric)) for group in groups]
    is_share = are_shares(value for _, values in rows for value in values)
    words = "; ".join(f"{group.group} {numbers.metric(group.tuned[metric])}" for group in groups)
    return Ranges(
        key=f"slice-{number}",
        title=f"{title[:1].upper()}{title[1:]} by {one.slice}",
        description=f"{title} of the tuned model: {words}.",
        rows=rows if len(rows) <= _MOST_DRAWN else [],
        names=("base", "tuned, with its 95 % interval"),
        axis=Axis(title, limits=(0.0, 1.0) if is_share else None),
    )


def _ranges(group: GroupResult, metric: str) -> list[Range]:
    sure = group.intervals.get(metric)
    interval = (sure.low, sure.high) if sure else None
    tuned = Range(1, group.tuned[metric], interval, f"{group.group}, tuned: {numbers.metric(group.tuned[metric])}")
    base = group.base.get(metric)
    return [tuned] if base is None else [Range(0, base, None, f"{group.group}, base: {numbers.metric(base)}"), tuned]


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
            by_chance(gap),
            text(gap.lowest),
            text(gap.highest),
        )
        for metric, gap in one.gaps.items()
    ]
    figures = ("gap, base", "gap, tuned", "95 % interval", "by chance alone")
    header = ("metric", *figures, "lowest, tuned", "highest, tuned")
    note = (
        "<p>Chance alone makes a gap, the wider the more groups there are and the fewer rows they have. Its mean where "
        "the same rows are dealt to groups of these sizes by lot stands beside, and the interval, which is of the true "
        "gap, allows for it.</p>"
    )
    return (note if rows else "") + table(
        f"Largest gap between groups, by {one.slice}", header, rows, right=(1, 2, 3, 4)
    )
