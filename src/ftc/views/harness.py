"""What the lm-evaluation-harness says of a run, as text."""

from __future__ import annotations

from ftc.spec.documents.harness import HarnessMetric, HarnessReport
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page, table

__all__ = ["harness_text"]


def harness_text(found: HarnessReport, page: Page = PLAIN) -> str:
    """A table of base and tuned model by task and metric.

    Args:
        found: The answer of `ftc eval --harness`.
        page: Width and colours.
    """
    limit = f", at most {numbers.plural(found.limit, 'row')} of a task" if found.limit is not None else ""
    title = page.strong(f"run {escaped(found.run)} by lm_eval {escaped(found.lm_eval)}{limit}")
    head = ("task", "metric", "rows", "base", "tuned", "gain")
    rows = [head, *(_row(one) for one in found.metrics)]
    return "\n".join([title, *table(rows, right=(2, 3, 4), indent=2)]) + "\n"


def _row(one: HarnessMetric) -> tuple[str, ...]:
    name = one.metric if one.filter == "none" else f"{one.metric} ({one.filter})"
    less = ", less is better" if one.higher_is_better is False else ""
    return (
        escaped(one.task),
        escaped(name) + less,
        numbers.count(one.rows),
        _with_error(one.base, one.base_error),
        _with_error(one.tuned, one.tuned_error),
        _gain(one),
    )


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _gain(one: HarnessMetric) -> str:
    between = one.gain.interval
    if between is None:
        return numbers.signed(one.gain.value)
    shown = "" if one.gain.is_shown else ", no difference shown"
    low, high = numbers.signed(between.low), numbers.signed(between.high)
    return f"{numbers.signed(one.gain.value)} ({low} to {high}{shown})"
