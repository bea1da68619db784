"""Runs side by side: a table for each form in which somebody wants it."""

from __future__ import annotations

from ftc.spec.documents.comparison import ComparedMetric, RunComparison, Standing
from ftc.spec.metrics import metric_named
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import metric_title
from ftc.views.page import PLAIN, Page, table, visible_width

__all__ = ["comparison_markdown", "comparison_text", "standing_words", "verdict"]


def comparison_text(found: RunComparison, *, page: Page = PLAIN) -> str:
    """The comparison for people: each metric, the runs under each other, what is shown and what is not."""
    first = found.runs[0]
    names = [f"{escaped(run.id)}  {escaped(run.name)}, {escaped(run.strategy)}" for run in found.runs]
    lines = [f"on {numbers.plural(found.rows, 'test row')} that all runs were given, held against {escaped(first.id)}"]
    for one in found.metrics:
        rows = [(name, *_cells(one, standing, page)) for name, standing in zip(names, one.standings, strict=True)]
        title = metric_title(one.metric) + ("" if _is_higher_better(one.metric) else " (lower is better)")
        lines += ["", page.strong(title), *_standings(rows, page)]
    for reason in found.not_compared:
        lines += ["", *page.flow("left out", [escaped(reason)])]
    if len(found.runs) > 2:
        lines += ["", page.faint("each interval holds for its own pair; of twenty such, one may miss by chance")]
    return "\n".join(lines) + "\n"


def _standings(rows: list[tuple[str, ...]], page: Page) -> list[str]:
    """A line for each run; on a narrow page a second one for its change."""
    lines = table(rows, right=(1,), indent=2)
    if all(visible_width(line) <= page.columns for line in lines):
        return lines
    heads = table([row[:3] for row in rows], right=(1,), indent=2)
    return [
        line
        for head, row in zip(heads, rows, strict=True)
        for line in (head, *(["      " + "  ".join(filter(None, row[3:]))] if any(row[3:]) else []))
    ]


def comparison_markdown(found: RunComparison) -> str:
    """The comparison for a pull request."""
    lines = [
        f"On {numbers.plural(found.rows, 'test row')} that all runs were given, held against `{found.runs[0].id}`.",
        "",
        "| metric | run | value | 95 % interval | change | 95 % interval | |",
        "| --- | --- | ---: | --- | ---: | --- | --- |",
    ]
    for one in found.metrics:
        for run, standing in zip(found.runs, one.standings, strict=True):
            cells = (metric_title(one.metric), f"`{run.id}` {run.name}", *standing_words(one, standing))
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([*lines, *(f"\nLeft out: {reason}." for reason in found.not_compared)]) + "\n"


def _cells(one: ComparedMetric, standing: Standing, page: Page) -> tuple[str, ...]:
    value, interval, change, change_interval, word = standing_words(one, standing)
    paint = {"better": page.good, "worse": page.bad, "no difference shown": page.alert}.get(word, str)
    around = f"({interval})" if interval else ""
    gained = f"{change} ({change_interval})" if change_interval else change
    return page.strong(value), around, gained, paint(word)


def standing_words(one: ComparedMetric, standing: Standing) -> tuple[str, str, str, str, str]:
    """Value, its interval, the change against the first run, its interval, verdict; each empty where there is none."""
    value = numbers.metric(standing.value)
    own = standing.interval
    interval = f"{numbers.metric(own.low)} to {numbers.metric(own.high)}" if own else ""
    if standing.gain is None:
        return value, interval, "", "", ""
    gained = standing.gain.interval
    change_interval = f"{numbers.signed(gained.low)} to {numbers.signed(gained.high)}" if gained else ""
    return value, interval, numbers.signed(standing.gain.value), change_interval, verdict(one, standing)


def verdict(one: ComparedMetric, standing: Standing) -> str:
    """Whether a run is better or worse than the first, as far as the rows can show it; empty for the first itself."""
    if standing.gain is None:
        return ""
    if not standing.gain.is_shown:
        return "no difference shown"
    return "better" if (standing.gain.value > 0) == _is_higher_better(one.metric) else "worse"


def _is_higher_better(metric: str) -> bool:
    kind = metric_named(metric)
    return kind.higher_is_better if kind else True
