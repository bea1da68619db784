"""A run that is watched: every line fits, curves are drawn, and nothing is shown that isn't known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftc.spec.documents.events import Evaluated, Event, PhaseStarted, RunStarted, StepDone
from ftc.views.curve import curve
from ftc.views.page import PLAIN, Page, visible_width
from ftc.views.watch import Watched, watch_lines
from tests.support import documents

STEPS = 120


def step(number: int) -> StepDone:
    fed = {"tokens": 500, "supervised": 8, "seconds": 0.25, "epoch": number / 40, "grad_norm": 1.0}
    return StepDone.model_validate({"step": number, "loss": 2 / number**0.5, "learning_rate": 1e-3, **fed})


def events(last: int) -> list[Event]:
    found: list[Event] = [
        RunStarted(run_id=documents.RUN_ID, folder="runs/x", num_steps=STEPS),
        PhaseStarted(phase="train", detail="120 steps"),
    ]
    for number in range(1, last + 1):
        found.append(step(number))
        if number % 40 == 0:
            metrics = {"val_loss": 3 / number**0.5, "macro_f1": 0.5 + number / 400}
            found.append(Evaluated(step=number, metrics=metrics, best=True, seconds=1.0))
    return found


def watched(last: int = 90, **changes: object) -> Watched:
    plan = documents.plan()
    record = documents.record(plan, status="running")
    machine = {"system/process_memory_bytes": 3e9, "system/gpu0_memory_bytes": 8e9}
    found = Watched(plan=plan, record=record, events=events(last), machine=machine, seconds=75.0)
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("last", [0, 1, 2, 90])
def test_every_line_fits_the_terminal(columns: int, last: int) -> None:
    lines = watch_lines(watched(last), Page(False, columns))
    assert [line for line in lines if visible_width(line) > columns] == []


def test_what_a_person_asks_is_there() -> None:
    text = "\n".join(watch_lines(watched(), Page(False, 100)))
    assert "90/" in text
    assert "2,000 tok/s now" in text
    assert "250 ms a step" in text
    assert "2.79 GiB host RAM now" in text
    assert "GPU 0: 7.45 GiB" in text
    assert "1 min 15 s so far" in text
    assert "left" in text
    assert "training loss, smoothed" in text
    assert "validation loss" in text


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0003, "0.3 ms"), (0.019, "19 ms"), (0.9996, "1000 ms"), (2, "2.0 s")]
)
def test_a_step_never_takes_no_time(seconds: float, shown: str) -> None:
    quick = step(1).model_copy(update={"seconds": seconds})
    text = "\n".join(watch_lines(watched(events=[*events(0), quick, quick]), Page(False, 100)))
    assert f"{shown} a step" in text


def test_curves_stand_beside_each_other_only_where_there_is_room() -> None:
    wide, narrow = (watch_lines(watched(), Page(False, columns)) for columns in (100, 60))
    assert any("training loss" in line and "validation loss" in line for line in wide)
    assert not any("training loss" in line and "validation loss" in line for line in narrow)


def test_before_the_first_step_nothing_is_made_up() -> None:
    text = "\n".join(watch_lines(watched(0, machine={}, seconds=None), Page(False, 100)))
    assert "not measured yet" in text
    assert "so far" not in text.partition("time")[2]
    assert "training loss" not in text


def test_a_curve_spans_its_values_and_steps() -> None:
    lines = curve("loss", [(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)], 40, 4, PLAIN)
    assert [lines[1][:6].strip(), lines[4][:6].strip()] == ["4.000", "1.000"]
    assert lines[1][8] != "\u2800", "it begins at the top left"
    assert lines[4][-1] != "\u2800", "and ends at the bottom right"
    assert lines[5].split() == ["1", "3"]


@pytest.mark.parametrize("points", [[], [(5.0, 1.0)], [(1.0, 2.0), (9.0, 2.0)]])
def test_a_curve_without_a_slope_is_drawn_too(points: list[tuple[float, float]]) -> None:
    lines = curve("loss", points, 40, 4, PLAIN)
    assert len(lines) == 6
    assert any(bits not in " \u2800" for line in lines[1:5] for bits in line) is bool(points)


def test_a_small_change_has_digits_enough_to_show_it() -> None:
    lines = curve("loss", [(1.0, 1.09612), (2.0, 1.09588)], 40, 3, PLAIN)
    assert lines[1][:6].strip() != lines[3][:6].strip()
