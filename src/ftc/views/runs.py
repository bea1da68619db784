"""The list of runs in a project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import headline
from ftc.views.page import PLAIN, Page, shorten, table, visible_width

__all__ = ["RunEntry", "runs_text"]

RunEntry = tuple[Plan, RunRecord, Evaluation | None]
"""What the list shows of one run."""


def runs_text(entries: Iterable[RunEntry], *, page: Page = PLAIN) -> str:
    """One line a run, the newest first."""
    newest = sorted(entries, key=lambda entry: _started(entry[1]), reverse=True)
    if not newest:
        return "No runs yet. `ftc apply RECIPE` makes one.\n"
    lines: list[str] = []
    for form in _FORMS:
        lines = _table(newest, form, page)
        if all(visible_width(line) <= page.columns for line in lines):
            break
    return "\n".join(lines) + "\n"


class _Form(NamedTuple):
    """How much a line tells."""

    name: int
    """Columns for the recipe's name."""
    started: int
    """Characters of the time at which a run began: with minutes, or the day alone."""
    has_steps: bool


_FORMS = (_Form(24, 16, True), _Form(24, 10, True), _Form(14, 10, True), _Form(14, 10, False))
"""From the widest page to the narrowest."""


def _table(entries: Iterable[RunEntry], form: _Form, page: Page) -> list[str]:
    titles = ("run", "recipe", "started (UTC)" if form.started > 10 else "started", "steps", "status", "result")
    rows = [tuple(map(page.faint, titles)), *(_row(*entry, form, page) for entry in entries)]
    if not form.has_steps:
        return table([(*row[:3], *row[4:]) for row in rows])
    return table(rows, right=(3,))


def _row(
    plan: Plan, record: RunRecord, evaluation: Evaluation | None, form: _Form, page: Page
) -> tuple[str, str, str, str, str, str]:
    paint = {
        "finished": page.good,
        "gate_failed": page.bad,
        "failed": page.bad,
        "interrupted": page.alert,
        "running": page.accent,
    }[record.status]
    return (
        record.id,
        shorten(record.name, form.name),
        escaped(_started(record)[: form.started].replace("T", " ")),
        f"{numbers.count(record.steps_done)}/{numbers.count(plan.settings.train.num_steps)}",
        paint(record.status.replace("_", " ")),
        headline(evaluation),
    )


def _started(record: RunRecord) -> str:
    return record.segments[0].started_at if record.segments else ""
