"""A time estimate: how long, what it rests on, and which part of the run takes how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import PhaseSeconds
from ftc.spec.documents.time import Phase, TimeEstimate
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import Page

__all__ = ["phase_seconds_words", "phase_word", "time_lines"]

_KILOWATT_HOUR = 3.6e6
_FILES = ("load", "save")


def time_lines(plan: Plan, page: Page) -> list[str]:
    """The block of a plan's page: time, cost and energy, then the parts of the run, then disk."""
    disk = f"{numbers.byte_size(plan.disk_bytes)} on disk at most"
    time = plan.time
    if time is None:
        return page.flow("Time", [f"unknown on {escaped(plan.device.label)}", disk])
    parts = [
        f"{numbers.duration_range(time.low_seconds, time.high_seconds)} on {escaped(plan.device.label)}",
        f"by {escaped(time.method)}",
        *_cost(time),
        disk,
    ]
    return [*page.flow("Time", parts), *page.flow("", _phases(time))]


def phase_word(phase: Phase) -> str:
    """A part of a run in a word or two."""
    match phase:
        case "load":
            return "libraries and files"
        case "prove":
            return "proof"
        case "reference":
            return "reference"
        case "train":
            return "training"
        case "validate":
            return "validation"
        case "save":
            return "saving"
        case "evaluate":
            return "test"
        case "generate":
            return "answers"
        case "judge":
            return "judge"
        case "grade":
            return "grading"
        case _:
            assert_never(phase)


def phase_seconds_words(one: PhaseSeconds) -> str:
    """What a part of a run took, beside what was planned: `training 41 s (planned 38–55 s)`."""
    planned = one.planned
    beside = f" (planned {numbers.duration_range(planned.low, planned.high)})" if planned else ""
    return f"{phase_word(one.phase)} {numbers.duration(one.seconds)}{beside}"


def _cost(time: TimeEstimate) -> Iterable[str]:
    if time.cost_low and time.cost_high:
        yield numbers.money_range(time.cost_low.amount, time.cost_high.amount, time.cost_high.currency)
    if time.energy_low_joules is not None and time.energy_high_joules is not None:
        low, high = time.energy_low_joules / _KILOWATT_HOUR, time.energy_high_joules / _KILOWATT_HOUR
        yield numbers.amount_range(low, high, "kWh")


def _phases(time: TimeEstimate) -> Iterable[str]:
    """The parts that take much of it, each with what it rests on where that isn't what the training rests on."""
    usual = next((one.method for one in time.phases if one.phase == "train"), "")
    for one in time.phases:
        if one.seconds.high >= 0.05 * time.high_seconds or one.phase == "train":
            by = f" by {escaped(one.method)}" if one.method not in ("", usual) and one.phase not in _FILES else ""
            yield f"{phase_word(one.phase)} {numbers.duration_range(one.seconds.low, one.seconds.high)}{by}"
