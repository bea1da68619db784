"""Groups of test rows side by side: each metric by group, and how far the groups are apart."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.record import Evaluation, Gap, SliceResult
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import metric_title
from ftc.views.page import Page, table, visible_width

__all__ = ["FEW_ROWS", "by_chance", "slice_blocks"]

FEW_ROWS = 30
"""Rows below which a group's figures say little; they are marked."""


def slice_blocks(evaluation: Evaluation, page: Page) -> Iterator[list[str]]:
    """The lines of each slice, as many metrics as the page is wide enough for."""
    for one in evaluation.slices:
        metrics = list(evaluation.tuned.metrics)
        lines = _lines(one, metrics, page)
        while len(metrics) > 1 and any(visible_width(line) > page.columns for line in lines):
            metrics.pop()
            lines = _lines(one, metrics, page)
        left = len(evaluation.tuned.metrics) - len(metrics)
        more = f"; {numbers.plural(left, 'metric')} more than fit here" if left else ""
        yield [f"tuned, by {escaped(one.slice)}{more}", page.faint(lines[0]), *lines[1:]]


def _lines(one: SliceResult, metrics: list[str], page: Page) -> list[str]:
    titles = ("", "rows", *map(metric_title, metrics), "")
    rows = [
        (
            escaped(group.group),
            numbers.count(group.rows),
            *(numbers.metric(group.tuned[metric]) for metric in metrics),
            page.alert("few rows") if group.rows < FEW_ROWS else escaped(group.detail),
        )
        for group in one.groups
    ]
    if one.gaps:
        rows.append(("largest gap", "", *(_gap(one.gaps[metric]) for metric in metrics), ""))
        rows.append(("by chance alone", "", *(by_chance(one.gaps[metric]) for metric in metrics), ""))
    return table([titles, *rows], right=range(1, len(metrics) + 2), indent=2)


def by_chance(gap: Gap) -> str:
    """The gap that groups dealt by lot would have."""
    return "–" if gap.by_chance is None else numbers.metric(gap.by_chance)


def _gap(gap: Gap) -> str:
    between = f" ({numbers.metric(gap.interval.low)} to {numbers.metric(gap.interval.high)})" if gap.interval else ""
    return numbers.metric(gap.value) + between
