"""What was measured of a device is what later plans for it rest on."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.machine.device import keep_calibration, read_calibration
from ftc.compiler.time.speed import measured_work, work_of_evaluation
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.calibration import Calibration, CalibrationJob
from ftc.verbs.calibrate import calibrate
from ftc.views.devices import calibration_text
from tests.support.drafts import CARD, CPU, decided, draft_of


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """Measured as `ftc device calibrate` does it, by a process of its own, on smaller models."""
    job = CalibrationJob(kind="cpu", threads=1, precisions=("float32",), tries=2, most_steps=3, scale=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(tmp_path_factory.mktemp("cache")))
        measured = calibrate(job=job)
    known = {"device": CPU.name, "label": CPU.label, "measured_at": "2026-11-26T04:00:00Z", "busy": 0.0}
    return measured.model_copy(update=known)


@pytest.mark.slow
def test_plans_rest_on_what_was_measured(found: Calibration, tmp_path: Path) -> None:
    assert keep_calibration(tmp_path, CPU, found).is_relative_to(tmp_path)
    kept = read_calibration(tmp_path, CPU, 1)
    assert kept is not None
    assert kept.to_text() == found.to_text()
    assert read_calibration(tmp_path, CPU, 2) is None, "another number of threads is another speed"
    assert read_calibration(tmp_path, CPU.model_copy(update={"label": "Another"}), 1) is None
    assert read_calibration(tmp_path, CARD, 1) is None, "a card that is not here was never measured"
    draft = replace(draft_of(budget={"threads": 1}), calibration=found)
    time = decided(draft).time
    assert time is not None
    assert (time.source, time.method) == ("calibration", "calibration of 2026-11-26")
    slower = tuple(one.model_copy(update={"seconds": 3 * one.seconds}) for one in found.measured.looks)
    other = found.model_copy(update={"measured": found.measured.model_copy(update={"looks": slower})})
    late = decided(replace(draft, calibration=other)).time
    assert late is not None
    for before, after in zip(time.phases, late.phases, strict=True):
        is_look = before.phase in ("validate", "evaluate")
        assert after.seconds.expected == pytest.approx((3 if is_look else 1) * before.seconds.expected)
    assert 0 < time.low_seconds < time.high_seconds
    busy = replace(draft, calibration=found.model_copy(update={"busy": 6.5}))
    loaded = decided(busy).time
    assert loaded is not None
    assert loaded.method == "calibration of 2026-11-26, on a busy machine"
    assert loaded.low_seconds < time.low_seconds
    assert loaded.high_seconds == time.high_seconds


@pytest.mark.slow
def test_steps_are_measured_as_the_run_takes_them(found: Calibration) -> None:
    steps = found.measured.steps
    assert [(step.config["model_type"], step.rank > 0) for step in steps] == [
        ("bert", True),
        ("llama", True),
        ("llama", False),
    ]
    for step in steps:
        assert len(step.adapted) < len(step.linear_modules)
        assert measured_work(step, CPU).flops > 2 * step.rows * step.length * sum(
            i * o for i, o in step.linear_modules.values()
        )
        assert 0 < step.seconds < 60
    looks = [(look.config["model_type"], look.new_tokens > 0) for look in found.measured.looks]
    assert looks == [("bert", False), *[("llama", False), ("llama", True)] * 2]
    assert all(0 < look.seconds < 60 and work_of_evaluation(look, CPU).flops > 0 for look in found.measured.looks)
    text = calibration_text(found)
    assert "GFLOP/s" in text
    assert "llama" in text


def test_what_could_not_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(Refusal) as refused:
        api.calibrate()
    assert [finding.code for finding in refused.value.diagnostics] == ["FTC602"]
