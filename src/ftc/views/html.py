"""Small tables for notebooks: what `_repr_html_` of a plan and a run gives. All text is escaped; no script, no link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.headline import metric_title
from ftc.views.run import change_words, comparisons

__all__ = ["plan_html", "run_html"]

_NUMBER = ' style="text-align:right"'
_LEFT = ' style="text-align:left"'


def plan_html(plan: Plan) -> str:
    """The plan as a table of its main figures."""
    train, memory, time = plan.settings.train, plan.memory, plan.time
    rows = [
        ("task", plan.recipe.task.kind),
        ("model", f"{plan.model.name}, {numbers.magnitude(plan.model.num_parameters)} parameters"),
        ("strategy", f"{plan.settings.strategy.words()}, {_trainable(plan)} trainable"),
        ("data", ", ".join(f"{name} {numbers.count(split.rows)}" for name, split in plan.splits)),
        ("training", f"{numbers.plural(train.num_steps, 'step')} of {numbers.plural(train.batch_size, 'row')}"),
        ("learning rate", f"{numbers.rate(train.learning_rate)}, {train.schedule.kind}"),
        (
            "memory",
            f"{numbers.byte_size(memory.peak_bytes)} of {numbers.byte_size(memory.limit_bytes)}, " + memory.verdict,
        ),
    ]
    if time:
        rows.append(("time", numbers.duration_range(time.low_seconds, time.high_seconds)))
    return _table(f"{plan.name}: plan {numbers.digest(plan.sha256)}", (), rows)


def run_html(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    """The run as a table of its measurements."""
    caption = f"{record.name}: run {record.id}, {record.status.replace('_', ' ')}"
    if evaluation is None:
        steps = f"{numbers.count(record.steps_done)} of {numbers.count(plan.settings.train.num_steps)}"
        return _table(caption, (), [("steps", steps)])
    rows = [
        (
            metric_title(one.name),
            "" if one.base is None else numbers.metric(one.base),
            numbers.metric(one.tuned),
            change_words(one),
            "" if one.gate is None else f"{one.gate.bound} {'passed' if one.gate.passed else 'failed'}",
        )
        for one in comparisons(evaluation)
    ]
    return _table(caption, ("metric", "base", "tuned", "change", "gate"), rows)


def _trainable(plan: Plan) -> str:
    return numbers.percent(plan.model.num_trainable, plan.model.num_parameters)


def _table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in header)
    head = f"<thead><tr>{titles}</tr></thead>" if header else ""
    body = "".join(_row(row, numeric=bool(header)) for row in rows)
    return f"<table><caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _row(cells: Sequence[str], *, numeric: bool) -> str:
    first, *others = cells
    align = _NUMBER if numeric else _LEFT
    return (
        f'<tr><th scope="row"{_LEFT}>{escape(first)}</th>'
        + "".join(f"<td{align}>{escape(cell)}</td>" for cell in others)
        + "</tr>"
    )
