"""The report's part on confidence: how often the models are right where they are how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ftc.spec.documents.outcomes import CONFIDENCE_BINS, Outcome, Said, confidence_bin
from ftc.spec.documents.plan import Plan
from ftc.spec.heads import head_card
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Lines, Series, figure
from ftc.views.report.elements import details, section, table, text

__all__ = ["confidence_section"]

_SHARE = Axis("share of rows that are right", limits=(0.0, 1.0))


class _Group(NamedTuple):
    """Rows whose confidence lies in one interval."""

    number: int
    rows: int
    confidence: float
    """Mean probability of the class that was chosen."""
    right: float
    """Share of the rows whose class is right."""


def confidence_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Confidence beside what came of it; empty where no class is chosen by probability."""
    if not head_card(plan.settings.model.head).has_confidence or not any(
        one.tuned.confidence is not None for one in outcomes
    ):
        return ""
    tuned = _groups([(one, one.tuned) for one in outcomes])
    base = _groups([(one, one.base) for one in outcomes if one.base])
    return section("confidence", "Confidence", f"<p>{text(_words(tuned))}</p>", *_shown(base, tuned, drawn))


def _groups(said: Sequence[tuple[Outcome, Said]]) -> list[_Group]:
    found: dict[int, list[tuple[float, bool]]] = {}
    for row, answer in said:
        if answer.confidence is not None:
            pair = (answer.confidence, answer.text == row.expected)
            found.setdefault(confidence_bin(answer.confidence), []).append(pair)
    return [
        _Group(
            number,
            len(pairs),
            math.fsum(confidence for confidence, _ in pairs) / len(pairs),
            sum(is_right for _, is_right in pairs) / len(pairs),
        )
        for number, pairs in sorted(found.items())
    ]


def _words(groups: Sequence[_Group]) -> str:
    rows = sum(one.rows for one in groups)
    sure = math.fsum(one.rows * one.confidence for one in groups) / rows
    right = math.fsum(one.rows * one.right for one in groups) / rows
    side = "surer than it is right" if sure > right else "less sure than it is right"
    side = "as sure as it is right" if abs(sure - right) < 0.005 else side
    return (
        f"The tuned model is {numbers.percent(sure)} sure on average and right on {numbers.percent(right)} of the test "
        f"rows: {side}. Rows are grouped by confidence, in {CONFIDENCE_BINS} intervals of equal width."
    )


def _shown(base: Sequence[_Group], tuned: Sequence[_Group], drawn: Drawer) -> tuple[str, str]:
    chart = Lines(
        key="reliability",
        title="Right over confidence",
        description="; ".join(
            f"where the tuned model is {numbers.percent(one.confidence)} sure, {numbers.percent(one.right)} of "
            f"{numbers.plural(one.rows, 'row')} are right"
            for one in tuned
        ),
        series=[
            Series("as sure as right", [(0.0, 0.0), (1.0, 1.0)], "ideal", 7),
            Series("base", [(one.confidence, one.right) for one in base], "squares", 7),
            Series("tuned", [(one.confidence, one.right) for one in tuned], "dots", 0),
        ],
        x=Axis("confidence", limits=(0.0, 1.0)),
        y=_SHARE,
        is_wide=True,
    )
    sides = [("base", base)] if base else []
    rows = [
        (
            f"{one.number / CONFIDENCE_BINS:.2f} to {(one.number + 1) / CONFIDENCE_BINS:.2f}",
            side,
            numbers.count(one.rows),
            numbers.metric(one.confidence),
            numbers.metric(one.right),
        )
        for side, groups in [*sides, ("tuned", tuned)]
        for one in groups
    ]
    header = ("interval", "model", "test rows", "mean confidence", "share right")
    grid = table("Right over confidence", header, rows, right=(2, 3, 4))
    return figure(chart, drawn), details("Figures behind the chart of confidence", grid)
