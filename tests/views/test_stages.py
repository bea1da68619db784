"""How far a plan is with its rows, as people see it."""

from __future__ import annotations

import io
import time

import pytest

from ftc.spec.stage import Stage
from ftc.views.page import PLAIN
from ftc.views.stages import CLEAR, LiveStages, PlainStages, stage_line


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is; the last one counts."""
    times = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[-1])
    return times


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Stage("reading"), "reading     rows …"),
        (Stage("reading", 12_288), "reading     12,288 rows …"),
        (Stage("checking", 0, 500), "checking    500 rows …"),
        (Stage("tokenizing", 1_024, 4_096), "  1,024/4,096 rows"),
        (Stage("normalizing", 4_096, 4_096), "━━━  4,096/4,096 rows"),
    ],
)
def test_a_stage_has_its_rows_and_a_bar_where_all_are_known(stage: Stage, words: str) -> None:
    line = stage_line(stage, PLAIN)
    assert line.startswith(stage.name)
    assert line.endswith(words)


def test_a_terminals_line_is_drawn_late_seldom_and_removed(clock: list[float]) -> None:
    stream = io.StringIO()
    live = LiveStages(stream)
    live(Stage("reading", 1_024))
    live.clear()
    assert stream.getvalue() == "", "a short plan draws nothing"
    for moment, done in ((1.0, 2_048), (1.01, 3_072), (1.2, 4_096)):
        clock.append(moment)
        live(Stage("reading", done))
    live.clear()
    live.clear()
    assert stream.getvalue() == f"{CLEAR}reading     2,048 rows …{CLEAR}reading     4,096 rows …{CLEAR}"


def test_a_log_gets_a_line_a_minute(clock: list[float]) -> None:
    stream = io.StringIO()
    plain = PlainStages(stream)
    for moment, stage in (
        (59.0, Stage("reading", 1_024)),
        (61.0, Stage("reading", 2_048)),
        (62.0, Stage("tokenizing", 9, 10)),
        (130.0, Stage("tokenizing", 10, 10)),
        (200.0, Stage("dividing")),
    ):
        clock.append(moment)
        plain(stage)
    assert stream.getvalue() == "reading     2,048 rows\ntokenizing  10 of 10 rows\ndividing    rows\n"
