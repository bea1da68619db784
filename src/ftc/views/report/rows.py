"""The report's part on single rows and on groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, GroupResult, SliceResult
from ftc.spec.heads import head_card
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Lines, Point, Range, Ranges, Series, are_shares, figure
from ftc.views.report.elements import details, long_text, section, table, text
from ftc.views.results import FEW_ROWS, by_chance
from ftc.views.words import main_metric, metric_title

__all__ = ["is_right", "rows_section", "slices_section"]

_ROWS_A_GROUP = 20
"""Rows that a group of like length needs at least, so that a mean says something."""
_MOST_GROUPS = 10
_MOST_ROWS = 300
"""Single rows that are drawn."""


def rows_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """The rows with the highest and the lowest loss, and quality over length; empty where nothing was measured."""
    if not outcomes:
        return ""
    ranked = sorted(outcomes, key=lambda one: (-_loss(one.tuned), one.row))
    limit = min(plan.settings.eval.samples, len(ranked) // 2)
    words = f"Of {numbers.plural(len(ranked), 'test row')}, by the loss of the tuned model."
    return section(
        "rows",
        "Worst and best rows",
        f"<p>{text(words)}</p>" if limit else "",
        _ranked("The tuned model is worst at", plan, ranked[:limit]),
        details("Rows that the tuned model is best at", _ranked("Best at", plan, ranked[::-1][:limit])),
        _by_length(plan, outcomes, drawn),
    )


def _loss(said: Said) -> float:
    """Nats by target."""
    return said.loss_sum / max(1, said.targets)


def _ranked(caption: str, plan: Plan, shown: Sequence[Outcome]) -> str:
    is_class = head_card(plan.settings.model.head).has_confidence
    has_text = any(one.tuned.text is not None for one in shown)
    header = (
        "row",
        "text",
        *(("expected", "tuned") if has_text else ()),
        "loss",
        *(("confidence",) if is_class else ()),
    )
    rows = [
        (
            numbers.count(one.row),
            long_text(one.prompt),
            *((long_text(one.expected or ""), long_text(one.tuned.text or "")) if has_text else ()),
            numbers.metric(_loss(one.tuned)),
            *((numbers.percent(one.tuned.confidence or 0.0),) if is_class else ()),
        )
        for one in shown
    ]
    kind = "labels" if is_class else "answers" if has_text else "texts"
    numeric = [header.index(title) for title in ("row", "loss", "confidence") if title in header]
    return table(caption, header, rows, right=numeric, kind=f"predictions {kind}")


def _by_length(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Groups of like many rows, from the shortest to the longest, and how good each model is in each."""
    count = min(_MOST_GROUPS, len(outcomes) // _ROWS_A_GROUP)
    ordered = sorted(outcomes, key=lambda one: (len(one.prompt), one.row))
    if count < 2 or len(ordered[0].prompt) == len(ordered[-1].prompt):
        return ""
    edges = [len(ordered) * number // count for number in range(count + 1)]
    groups = [ordered[start:end] for start, end in pairwise(edges)]
    axis, quality = _quality(plan)
    tuned = [(_middle(group), quality(group, [one.tuned for one in group])) for group in groups]
    base = [
        (_middle(group), quality(group, [one.base for one in group if one.base])) for group in groups if group[0].base
    ]
    rows = _each(ordered) if axis is _LOSS else []
    return figure(_length_chart(axis, rows, base, tuned), drawn) + _length_table(axis, groups, base, tuned)


Quality = Callable[[Sequence[Outcome], Sequence[Said]], float]
_LOSS = Axis("loss, nats a target", from_zero=True)


def _quality(plan: Plan) -> tuple[Axis, Quality]:
    """What is shown over length: the share of rows or tags that are right where there are such, else the loss."""
    if plan.settings.labels == "words":
        return Axis("share of tags that are right", limits=(0.0, 1.0)), _share_of_tags
    if plan.settings.has_one_answer:
        return Axis("share of rows that are right", limits=(0.0, 1.0)), _share_right
    return _LOSS, _mean_loss


def _share_right(rows: Sequence[Outcome], said: Sequence[Said]) -> float:
    return sum(is_right(one, answer) for one, answer in zip(rows, said, strict=True)) / len(rows)


def is_right(row: Outcome, said: Said) -> bool:
    """Whether an answer is the expected one, or one of several right ones, white space around it aside."""
    answer = (said.text or "").strip()
    return answer in {one.strip() for one in row.right} if row.right else answer == (row.expected or "").strip()


def _share_of_tags(rows: Sequence[Outcome], said: Sequence[Said]) -> float:
    pairs = [
        pair
        for one, answer in zip(rows, said, strict=True)
        for pair in zip(one.targets, answer.predicted, strict=False)
    ]
    return sum(target == found for target, found in pairs) / max(1, len(pairs))


def _mean_loss(_: Sequence[Outcome], said: Sequence[Said]) -> float:
    return sum(one.loss_sum for one in said) / max(1, sum(one.targets for one in said))


def _each(ordered: Sequence[Outcome]) -> list[Point]:
    """Length and loss of single rows, at most about `_MOST_ROWS`, spread evenly from the shortest to the longest."""
    stride = -(-len(ordered) // _MOST_ROWS)
    return [(float(len(one.prompt)), _loss(one.tuned)) for one in ordered[::stride]]


def _middle(group: Sequence[Outcome]) -> float:
    """The median length of a group, in characters."""
    return float(len(group[len(group) // 2].prompt))


def _length_chart(axis: Axis, rows: Sequence[Point], base: Sequence[Point], tuned: Sequence[Point]) -> Lines:
    title, ends = _titled(axis), "from the shortest to the longest rows"
    words = f"{title}, {ends}: tuned from {numbers.metric(tuned[0][1])} to {numbers.metric(tuned[-1][1])}"
    if base:
        words += f", base from {numbers.metric(base[0][1])} to {numbers.metric(base[-1][1])}"
    return Lines(
        key="length",
        title=f"{title} by length of the text",
        description=f"{words}.",
        series=[
            Series("tuned, single rows", rows, "cloud", 0),
            Series("base", base, "squares", 7),
            Series("tuned", tuned, "dots", 0),
        ],
        x=Axis("characters", "{:,.0f}".format, whole=True),
        y=axis,
        is_wide=True,
    )


def _titled(axis: Axis) -> str:
    """Such as `Loss (lower is better)`."""
    return "Loss (lower is better)" if axis is _LOSS else f"{axis.title[:1].upper()}{axis.title[1:]}"


def _length_table(
    axis: Axis, groups: Sequence[Sequence[Outcome]], base: Sequence[Point], tuned: Sequence[Point]
) -> str:
    rows = [
        (
            f"{numbers.count(len(group[0].prompt))} to {numbers.count(len(group[-1].prompt))}",
            *((numbers.metric(base[number][1]),) if base else ()),
            numbers.metric(tuned[number][1]),
            numbers.count(len(group)),
        )
        for number, group in enumerate(groups)
    ]
    header = ("characters", *(("base",) if base else ()), "tuned", "test rows")
    grid = table(f"{_titled(axis)} by length of the text", header, rows, right=range(1, len(header)))
    return details("Figures behind the chart of lengths", grid)


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
