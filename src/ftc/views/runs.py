"""The list of runs in a project."""

from __future__ import annotations

from collections.abc import Iterable

from ftc.spec.plan import Plan
from ftc.spec.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import headline
from ftc.views.page import PLAIN, Page, shorten, table

__all__ = ["RunEntry", "runs_text"]

RunEntry = tuple[Plan, RunRecord, Evaluation | None]
"""What the list shows of one run."""


def runs_text(entries: Iterable[RunEntry], *, page: Page = PLAIN) -> str:
    """One line a run, the newest first."""
    newest = sorted(entries, key=lambda entry: _started(entry[1]), reverse=True)
    if not newest:
        return "No runs yet. `ftc apply RECIPE` makes one.\n"
    rows = [tuple(map(page.faint, ("run", "recipe", "started (UTC)", "steps", "status", "result")))]
    rows += [_row(*entry, page) for entry in newest]
    return "\n".join(table(rows, right=(3,))) + "\n"


def _row(plan: Plan, record: RunRecord, evaluation: Evaluation | None, page: Page) -> tuple[str, ...]:
    paint = {
        "finished": page.good,
        "gate_failed": page.bad,
        "failed": page.bad,
        "interrupted": page.alert,
        "running": page.accent,
    }[record.status]
    return (
        record.id,
        shorten(record.name, 24),
        escaped(_started(record)[:16].replace("T", " ")),
        f"{numbers.count(record.steps_done)}/{numbers.count(plan.settings.train.num_steps)}",
        paint(record.status.replace("_", " ")),
        headline(evaluation),
    )


def _started(record: RunRecord) -> str:
    return record.segments[0].started_at if record.segments else ""
