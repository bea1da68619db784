"""A run beside a tracker that hangs: it ends as without one, and its record says what the tracker took."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from ftc import api
from ftc.runtime.tracking.reporters import Reporters
from ftc.spec.documents.events import Event, Noticed
from tests.e2e.conftest import Ftc, MakeProject

HANGS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.mark.slow
def test_a_run_beside_a_tracker_that_hangs_is_the_same_run(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(steps=2)
    recipe = root / "recipe.yaml"
    plain = api.plan(recipe).plan
    recipe.write_text(recipe.read_text(encoding="utf-8") + "track: {mlflow: {}}\n", encoding="utf-8")
    monkeypatch.setattr("ftc.verbs.track.find_spec", lambda name: True)
    hanging = partial(Reporters, program=HANGS, settle_seconds=0.2, finish_seconds=0.2)
    monkeypatch.setattr("ftc.runtime.tracking.reporters.Reporters", hanging)
    heard: list[Event] = []
    run = api.apply(recipe, on_event=heard.append)
    assert run.record.status == "finished"
    assert run.record.id == plain.run_id, "the tracker is no part of the job"
    assert "track" not in run.plan.to_text()
    (tracked,) = run.record.trackers
    assert (tracked.tracker, tracked.sent) == ("mlflow", 0)
    assert tracked.points >= 12, "two steps with six values each"
    assert "FTC730" in [event.code for event in heard if isinstance(event, Noticed)]
    assert run.record.sha256 == run.record.expected_sha256()
    assert not list(Path(root).glob("mlflow*"))


@pytest.mark.slow
def test_what_can_not_be_registered(project: MakeProject, ftc: Ftc) -> None:
    """Before anything is sent, and without the tracker's package."""
    root = project("token_classification", steps=1)
    run = api.apply(root / "recipe.yaml").record.id
    for tracker, words in (
        ("tensorboard", "TensorBoard has no registry of models"),
        ("mlflow", "rows of a token classification task are more than texts"),
    ):
        answer = ftc("run", "track", run, "--to", tracker, "--register", "tickets")
        assert "FTC732" in answer.text
        assert words in answer.text
    asked = ftc("plan", "recipe.yaml", "--set", "track.mlflow.registered_model=tickets")
    assert "FTC732" in asked.text, "a run of hours doesn't begin for it"
