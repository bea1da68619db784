"""Where the time of a run's training steps goes, on one page."""

from __future__ import annotations

from ftc.spec.documents.profiled import ProfiledRun
from ftc.spec.step_parts import part_named
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.profiled import OPERATION_HEADER, PART_HEADER, operation_cells, part_cells, summary
from ftc.views.report.charts import Axis, Bar, Bars, Drawer, Part, drawer, figure
from ftc.views.report.elements import details, facts, framed, marked_up, section, table, text

__all__ = ["profiled_html"]

_WHOLE = -1
"""Number of a part whose name is its bar's label."""


def profiled_html(found: ProfiledRun, drawn: Drawer | None = None) -> str:
    """The page.

    Args:
        found: What was measured.
        drawn: Who draws the chart; by default the library of the `report` extra, where it is installed.
    """
    drawn = drawn or drawer()
    title = f"Where the time of {found.name} goes"
    largest = found.shares[0]
    share = numbers.percent(largest.seconds, found.seconds)
    lead = f"{part_named(largest.part).label.capitalize()}: {share} of a training step on {found.device}."
    header = f'<header><p class="kind">Steps of run {text(found.run_id)}</p><h1>{text(title)}</h1>'
    header += f'<p class="lead">{text(lead)}</p></header>'
    rows = [("Step", text("; ".join(summary(found))))]
    rows += [("Measured by", text(f"PyTorch {found.torch_version}'s profiler"))]
    rows += [("Note", marked_up(words)) for words in found.notes]
    bars = [
        Bar(f"{label}: {share}", [Part(_WHOLE, f"{label}: {time}", float(one.seconds) / float(found.seconds))])
        for one, (label, time, share) in zip(found.shares, part_cells(found), strict=True)
    ]
    words = "; ".join(f"{label} {share}" for label, _, share in part_cells(found)) + "."
    axis = Axis("share of a step", numbers.percent, from_zero=True)
    chart = figure(Bars("parts-chart", "Parts of a step", words, bars, {}, axis), drawn)
    parts = table("Parts of a step", PART_HEADER, [tuple(map(text, row)) for row in part_cells(found)], right=(1, 2))
    cells = [tuple(map(text, row)) for row in operation_cells(found, len(found.operations))]
    each = details("Operations", table("The most expensive operations", OPERATION_HEADER, cells, right=(2, 3)))
    sections = [
        ("result", "Result", section("result", "Result", facts(rows))),
        ("parts", "Parts", section("parts", "Parts of a step", chart, parts, each)),
    ]
    return framed(title, header, sections, f"Made by ftc {text(VERSION)}.", drawn.name)
