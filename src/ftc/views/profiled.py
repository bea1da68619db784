"""What `ftc run profile` says of a run's steps. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.profiled import ProfiledRun
from ftc.spec.step_parts import part_named
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, fitted

__all__ = ["OPERATION_HEADER", "PART_HEADER", "operation_cells", "part_cells", "profiled_text", "summary"]

PART_HEADER = ("part", "a step", "share")
"""Columns of `part_cells`."""
OPERATION_HEADER = ("operation", "part", "a step", "calls")
"""Columns of `operation_cells`."""
_SHOWN = 12


def profiled_text(found: ProfiledRun, *, page: Page = PLAIN) -> str:
    """The profile for people."""
    lines = [
        *page.flow("profile", [f"run {page.strong(found.run_id)} of {escaped(found.name)}", escaped(found.device)]),
        *page.flow("step", list(summary(found))),
        "",
        *fitted(PART_HEADER, list(part_cells(found)), page, right=(1, 2)),
        "",
        *fitted(OPERATION_HEADER, list(operation_cells(found, _SHOWN)), page, right=(2, 3)),
    ]
    if found.notes:
        lines += ["", *(line for note in found.notes for line in page.flow("note", [note]))]
    return "\n".join(lines) + "\n"


def summary(found: ProfiledRun) -> Iterator[str]:
    """A step's time, in parts."""
    yield f"{_time(found.seconds)} under the profiler, mean of {numbers.plural(found.steps, 'step')}"
    yield f"{_time(found.usual_seconds)} for the step before, without it"
    if found.planned_seconds is not None:
        yield f"{_time(found.planned_seconds)} planned"
    yield f"{found.tokens / found.seconds:,.0f} tokens a second"
    if found.kernels is not None:
        yield f"{found.kernels:,.0f} kernels"


def part_cells(found: ProfiledRun) -> Iterator[tuple[str, ...]]:
    """A row for each part of a step."""
    for one in found.shares:
        yield part_named(one.part).label, _time(one.seconds), numbers.percent(one.seconds, found.seconds)


def operation_cells(found: ProfiledRun, most: int) -> Iterator[tuple[str, ...]]:
    """A row for each of the most expensive operations."""
    for one in found.operations[:most]:
        yield escaped(one.name), part_named(one.part).label, _time(one.seconds), f"{one.calls:,.0f}"


def _time(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:,.1f} s"
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"
