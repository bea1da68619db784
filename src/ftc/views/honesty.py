"""What makes a measurement less than it seems: few rows, and rows that decided before they were to test."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation
from ftc.views import numbers
from ftc.views.cells import escaped

__all__ = ["MANY_ROWS", "reservations"]

MANY_ROWS = 100
"""Test rows from which a figure needs no warning: a share's 95 % interval is then at most 0.1 to each side."""

_MOST_NAMED = 5


def reservations(plan: Plan, evaluation: Evaluation) -> Iterator[str]:
    """Sentences that belong beside the figures."""
    rows = evaluation.tuned.rows
    if rows < MANY_ROWS:
        yield f"Few test rows: {rows:,} of at least {MANY_ROWS}. Go by the intervals rather than by the values."
    if absent := _absent(plan):
        named = ", ".join(f"`{escaped(name)}`" for name in absent[:_MOST_NAMED])
        more = f" and {len(absent) - _MOST_NAMED:,} more" if len(absent) > _MOST_NAMED else ""
        yield f"No test row has {named}{more}: nothing is measured of that, and F1, precision and recall of it are 0."
    if plan.quality.chosen_by and plan.settings.train.select == "best":
        shared = numbers.plural(plan.quality.chosen_by, "test row")
        yield f"{shared} stood in validation as well, by which the checkpoint was chosen: the test is not sealed."
    if plan.quality.trained_on is None:
        yield "Whether the model was trained on these rows is not known: the run's own are no longer in the cache."
    elif plan.quality.trained_on:
        found = f"{plan.quality.trained_on:,} of {numbers.plural(rows, 'test row')}"
        yield f"{found} stand among the training rows as well: the model has seen the answers."
    for one in plan.quality.contamination:
        if one.split == "test" and one.mostly:
            found = f"{one.mostly:,} of {numbers.plural(one.of, 'test row')}"
            yield f"{found} stand nearly whole in training rows, in runs of {one.run} tokens."


def _absent(plan: Plan) -> list[str]:
    """Classes that are trained on and that no test row has."""
    counts = plan.quality.labels
    if "train" not in counts or "test" not in counts:
        return []
    return sorted(name for name in counts["train"] if not counts["test"].get(name))
