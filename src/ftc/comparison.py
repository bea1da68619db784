"""Runs held against each other, from what their models made of the same test rows. Loads no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftc.run_store import Run, load_outcomes
from ftc.spec.comparison import ComparedMetric, ComparedRun, RunComparison, Standing
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.evaluation import metric_kind, split_metric
from ftc.spec.record import Gain, Interval

if TYPE_CHECKING:
    from ftc.runtime import bootstrap
    from ftc.runtime.bootstrap import Statistics
    from ftc.spec.outcomes import Outcome

__all__ = ["compare_runs"]

Key = tuple[int, str]
"""A test row: its number in the source, and what the model was given of it."""


def compare_runs(runs: Sequence[Run]) -> RunComparison:
    """Compares runs on the rows that all of them were tested on; the first is what the others are held against.

    Raises:
        Refusal: A run has no measured rows (FTC683), or they have none in common (FTC681).
    """
    answered = [_outcomes(run) for run in runs]
    common = [key for key in answered[0] if all(key in outcomes for outcomes in answered)]
    if not common:
        raise Refusal([_strangers(runs)])
    rows = [[outcomes[key] for key in common] for outcomes in answered]
    names = [name for name in _metrics(runs[0]) if all(name in _metrics(run) for run in runs)]
    return RunComparison(
        runs=tuple(map(_described, runs, map(len, answered))),
        rows=len(common),
        metrics=tuple(_compared(name, rows, _labels(runs[0])) for name in names),
        not_compared=tuple(_left_out(runs, names)),
    )


def _outcomes(run: Run) -> dict[Key, Outcome]:
    found = {(one.row, one.prompt): one for one in load_outcomes(run.folder)}
    if not found:
        help = "compare finished runs whose test split is measured; `ftc runs` lists them"
        summary = f"run `{run.record.id}` has no measured test rows"
        note = f"it is {run.record.status.replace('_', ' ')}"
        raise Refusal([diagnostic("FTC683", summary, help=help, notes=note)])
    return found


def _labels(run: Run) -> tuple[str, ...]:
    """The classes, one of which each row has; none for other tasks."""
    settings = run.plan.settings
    return settings.text.labels if settings.model.head in ("classification", "lm") else ()


def _metrics(run: Run) -> dict[str, float]:
    return run.evaluation.tuned.metrics if run.evaluation else {}


def _described(run: Run, rows: int) -> ComparedRun:
    record, plan = run.record, run.plan
    strategy = plan.settings.strategy.kind
    return ComparedRun(id=record.id, name=record.name, model=plan.model.name, strategy=strategy, rows=rows)


def _compared(name: str, rows: Sequence[Sequence[Outcome]], labels: Sequence[str]) -> ComparedMetric:
    from ftc.runtime.bootstrap import difference, intervals

    found = [_statistics(name, outcomes, labels) for outcomes in rows]
    gains = [difference(found[0], other) for other in found[1:]]
    bounds = [_document(one) for one in intervals([*found, *gains])]
    first, *others = [
        Standing(value=one.observed, interval=interval, gain=None) for one, interval in zip(found, bounds, strict=False)
    ]
    held = [
        other.model_copy(update={"gain": Gain(value=other.value - first.value, interval=interval)})
        for other, interval in zip(others, bounds[len(found) :], strict=True)
    ]
    return ComparedMetric(metric=name, standings=(first, *held))


def _statistics(name: str, outcomes: Sequence[Outcome], labels: Sequence[str]) -> Statistics:
    from ftc.runtime import row_statistics
    from ftc.spec.outcomes import as_label

    said = [one.tuned for one in outcomes]
    if name in ("loss", "perplexity"):
        return row_statistics.loss_statistics(name, [(one.loss_sum, one.targets) for one in said])
    expected, answers = [one.expected or "" for one in outcomes], [one.text or "" for one in said]
    if labels:  # what is written beside the classes is one of its own
        known = {*labels, *expected}
        answers = [as_label(answer, known) for answer in answers]
    kind = metric_kind(name)
    if kind is not None and kind.generates:
        return row_statistics.answer_statistics(name, expected, answers)
    part, label = split_metric(name)
    return row_statistics.class_statistics(part, expected, answers, label)


def _document(interval: bootstrap.Interval | None) -> Interval | None:
    return Interval(low=interval.low, high=interval.high) if interval else None


def _left_out(runs: Sequence[Run], compared: Sequence[str]) -> list[str]:
    every = dict.fromkeys(name for run in runs for name in _metrics(run))
    return [
        f"{name}: not measured by {', '.join(run.record.id for run in runs if name not in _metrics(run))}"
        for name in every
        if name not in compared
    ]


def _strangers(runs: Sequence[Run]) -> Diagnostic:
    names = " and ".join(f"`{run.record.id}`" for run in runs)
    help = "compare runs whose data and split are the same"
    return diagnostic("FTC681", f"runs {names} have no test row in common", help=help)
