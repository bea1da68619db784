"""Base models of the catalog, planned: a line each, and why the others don't fit."""

from __future__ import annotations

from ftc.spec.documents.base_models import BaseModelPlan, BaseModelPlans
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, shorten, table, visible_width

__all__ = ["models_text"]

_HEADER = ("model", "parameters", "memory", "time", "cost", "context", "license", "released", "")
_LONGEST_NAME = 40


def models_text(found: BaseModelPlans, *, page: Page = PLAIN) -> str:
    """A table; on a narrow page two lines a model."""
    count = f"{sum(one.fits for one in found.models)} of {len(found.models)} models fit"
    head = [*page.flow(page.strong(escaped(found.recipe)), [found.task, found.device, count]), ""]
    if not found.models:
        return "\n".join([*head, "No model of the catalog matches these filters."]) + "\n"
    rows = [_row(one, page) for one in found.models]
    lines = table([tuple(map(page.faint, _HEADER)), *rows], right=(1, 2))
    if any(visible_width(line) > page.columns for line in lines):
        lines = []
        for name, *figures, state in rows:
            known = [part for part in figures if part != "-"]
            lines += [f"{page.strong(name)}  {state}", *page.flow("", known, indent=2)]
    counted = f"Rows were counted with the tokenizer of {escaped(found.counted_with)}; another one gives other counts."
    notes = (
        f"{counted} Memory is an analytical estimate. Set `model.base` and run `ftc plan` for the exact plan.",
        f"Facts of the catalog as of {found.read_on}; `--json` shows what each model's sizes were compared with.",
    )
    return "\n".join([*head, *lines, "", *(line for note in notes for line in page.wrap(note))]) + "\n"


def _row(one: BaseModelPlan, page: Page) -> tuple[str, ...]:
    time = "-"
    if one.low_seconds is not None and one.high_seconds is not None:
        time = numbers.duration_range(one.low_seconds, one.high_seconds)
    cost = "-"
    if one.cost_low is not None and one.cost_high is not None:
        cost = numbers.amount_range(one.cost_low.amount, one.cost_high.amount, one.cost_low.currency)
    state = page.good("fits") if one.fits else page.bad(shorten(escaped(one.problem), 48))
    gated = {True: ["gated"], False: [], None: ["gating unknown"]}[one.gated]
    marks = [state, *gated, *(["context is shorter than a row"] if one.truncated else [])]
    return (
        shorten(one.name, _LONGEST_NAME),
        numbers.magnitude(one.parameters),
        numbers.byte_size(one.memory_bytes) if one.memory_bytes is not None else "-",
        time,
        cost,
        f"{numbers.count(one.max_positions)} tokens" if one.max_positions is not None else "-",
        one.license,
        one.released or "release unknown",
        ", ".join(marks),
    )
