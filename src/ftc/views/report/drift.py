"""New rows beside a run's own on one page: the verdict, every test, classes, metrics, and the most novel rows."""

from __future__ import annotations

from ftc.spec.documents.data_drift import DataDrift
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.drift import HEADER, metric_words, power_words, test_cells, verdict_words
from ftc.views.report.charts import Axis, Drawer, Range, Ranges, are_shares, drawer, figure
from ftc.views.report.elements import facts, framed, section, table, text

__all__ = ["drift_html"]

_MOST_CLASSES = 20


def drift_html(found: DataDrift, drawn: Drawer | None = None) -> str:
    """The page.

    Args:
        found: What was found.
        drawn: Who draws the charts; by default the library of the `report` extra, where it is installed.
    """
    drawn = drawn or drawer()
    title = f"Drift of {found.name}"
    lead = f"{verdict_words(found).capitalize()}: {numbers.plural(found.new_rows, 'new row')} beside "
    lead += f"{numbers.plural(found.reference_rows, f'{found.reference} row')} of the run."
    header = f'<header><p class="kind">New rows beside run {text(found.run_id)}</p><h1>{text(title)}</h1>'
    header += f'<p class="lead">{text(lead)}</p></header>'
    rows = [("Verdict", text(verdict_words(found))), ("Rows", f"{found.rows:,} in <code>{text(found.data)}</code>")]
    rows.append(("Power", text(power_words(found))))
    rows += [("Failed gate", text(words)) for words in found.failed_gates]
    rows += [("Note", text(words)) for words in found.notes]
    cells = [
        (*map(text, test_cells(one)), text(f"{one.method}, {one.unit}"), "drift" if one.drifted else "–")
        for one in found.tests
    ]
    tests = table("All tests, with p adjusted by Holm", (*HEADER, "method", "verdict"), cells, right=(1, 2, 3))
    listed = [(text(one.place), f"{one.distance:.2f}", f"{one.p:.3f}", text(one.text)) for one in found.novel]
    titles = ("row", "distance", "p", "what the model is given")
    novel = table("New rows that are least like the run's own", titles, listed, right=(1, 2))
    parts = [
        ("result", "Result", section("result", "Result", facts(rows))),
        ("tests", "Tests", section("tests", "Tests", tests)),
        ("classes", "Classes", section("classes", "Predicted classes", _classes(found, drawn))),
        ("metrics", "Metrics", section("metrics", "Metrics", _metrics(found, drawn))),
        ("novel", "Novel rows", section("novel", "The most novel rows", novel)),
    ]
    return framed(title, header, parts, f"Made by ftc {text(VERSION)}.", drawn.name)


def _classes(found: DataDrift, drawn: Drawer) -> str:
    shown = list(found.classes.items())[:_MOST_CLASSES]
    if not shown:
        return ""
    rows = [
        (
            name,
            [
                Range(0, before, None, f"{name}: {numbers.percent(before)} of the run's rows"),
                Range(1, now, None, f"{name}: {numbers.percent(now)} of the new rows"),
            ],
        )
        for name, (before, now) in shown
    ]
    most = max(found.classes, key=lambda name: abs(found.classes[name][1] - found.classes[name][0]))
    before, now = found.classes[most]
    words = f"The largest change is {most}: {numbers.percent(before)} of the run's rows, {numbers.percent(now)} now."
    axis = Axis("share of rows", numbers.percent, from_zero=True)
    return figure(
        Ranges("classes-chart", "Predicted classes", words, rows, ("the run's rows", "new rows"), axis), drawn
    )


def _metrics(found: DataDrift, drawn: Drawer) -> str:
    """All in a table, and shares in a picture as well, since others are on axes of their own."""
    rows = []
    for name, one in found.metrics.items():
        sides = (0, one.test_value, one.test_interval), (1, one.value, one.interval)
        cells = [
            Range(side, value, (sure.low, sure.high) if sure else None, f"{name} {value:.3f}")
            for side, value, sure in sides
            if value is not None
        ]
        if are_shares(cells):
            rows.append((name, cells))
    words = "; ".join(f"{name} {metric_words(found.metrics[name])}" for name, _ in rows) + "."
    chart = Ranges("metrics-chart", "Metrics", words, rows, ("test rows", "new rows"), Axis("value"))
    listed = [(text(name), text(metric_words(one))) for name, one in found.metrics.items()]
    return figure(chart, drawn) + table("Metrics", ("metric", "value with its interval"), listed)
