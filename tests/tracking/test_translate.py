"""Events and documents as the names and values that trackers take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from ftc.runtime.tracking import mlflow
from ftc.runtime.tracking.translate import Translator, about, result_points, result_tags, sent_files
from ftc.spec.documents.events import Resumed, StepDone
from ftc.spec.documents.record import RunRecord
from ftc.spec.storage.paths import RunFolder
from tests.support import documents
from tests.support.tracked_runs import EVENTS, VALUES, make_run


def test_values_have_names_steps_and_the_times_of_their_events() -> None:
    translator = Translator(0.0)
    points = [point for event in EVENTS for point in translator.points(event)]
    assert len(points) == VALUES
    losses = [(point.step, point.value) for point in points if point.name == "train/loss"]
    assert losses == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    (speed, *_) = [point.value for point in points if point.name == "train/tokens_per_second"]
    assert speed == pytest.approx(240)
    validation = {point.name: point.value for point in points if point.name.startswith("validation/")}
    assert validation == {"validation/loss": 0.7, "validation/accuracy": 0.8}
    assert points[0].time == pytest.approx(1772359201.0)


def test_steps_that_are_done_again_are_told_once_unless_they_came_out_otherwise() -> None:
    translator = Translator(0.0)
    told = [point for event in EVENTS for point in translator.points(event)]
    again = [point for event in (Resumed(step=2), *EVENTS) for point in translator.points(event)]
    assert told
    assert again == []
    other = next(event for event in EVENTS if isinstance(event, StepDone)).model_copy(update={"loss": 9.0})
    assert {point.name: point.value for point in translator.points(other)}["train/loss"] == 9.0


def test_a_run_whose_events_have_no_time_gets_it_from_their_durations() -> None:
    translator = Translator(100.0)
    events = [event.model_copy(update={"time": ""}) for event in EVENTS]
    times = [point.time for event in events for point in translator.points(event) if point.name == "train/loss"]
    assert times == [100.5, 101.0, 101.5, 102.0]


def test_what_identifies_a_run_and_every_setting_are_told() -> None:
    plan = documents.plan().sealed()
    record = documents.record(plan)
    known = about(plan, record, Path("runs/x") / record.id, Path())
    assert known.tags["ftc.plan_sha256"] == plan.sha256
    assert known.tags["ftc.lock_sha256"] == plan.lock.digest()
    assert known.parameters["train.learning_rate"] == str(plan.settings.to_json()["train"]["learning_rate"])
    assert result_tags(record)["ftc.record_sha256"] == record.sha256


def test_results_have_their_intervals_and_gates() -> None:
    plan = documents.plan().sealed()
    evaluation = documents.evaluation()
    found = {point.name: point.value for point in result_points(documents.record(plan), evaluation)}
    metric, interval = next(iter(evaluation.tuned.intervals.items()))
    assert found[f"test/tuned/{metric}"] == evaluation.tuned.metrics[metric]
    assert found[f"test/tuned/{metric}.low"] == interval.low
    assert found[f"gates/{evaluation.gates[0].metric}"] == 1.0


def test_rows_are_never_sent_and_weights_only_when_asked_for(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path).folder)
    sent = {file.path.name for file in sent_files(folder, ("documents", "report"))}
    assert sent == {
        "recipe.yaml", "recipe.lock.json", "plan.json", "record.json", "eval.json", "README.md", "report.html"
    }  # fmt: skip
    (weights,) = sent_files(folder, ("weights",))
    assert (weights.folder, weights.path.name) == ("adapter", "adapter_config.json")


def _words(kind: Any) -> set[str]:
    """All texts of a literal, or of several."""
    return {kind} if isinstance(kind, str) else {word for one in get_args(kind) for word in _words(one)}


def test_mlflow_has_a_word_for_every_status_of_a_record() -> None:
    assert set(mlflow.STATES) == _words(RunRecord.model_fields["status"].annotation)
