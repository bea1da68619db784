"""Where a run is reported is shown before it is, and afterwards how much of it arrived."""

from __future__ import annotations

from ftc.spec.documents.tracking import Tracked
from ftc.spec.trackers import MLflow, Track, Wandb
from ftc.views.plan import plan_text
from ftc.views.run import run_text
from tests.support import documents


def test_a_plan_says_what_leaves_the_machine() -> None:
    track = Track(mlflow=MLflow(uri="http://127.0.0.1:5000"), wandb=Wandb(mode="online", artifacts=("documents",)))
    text = " ".join(plan_text(documents.plan(), track=track).split())
    assert "MLflow (uri http://127.0.0.1:5000): values by step, documents, report" in text
    assert "Weights & Biases, online: values by step, documents" in text
    assert "Trackers" not in plan_text(documents.plan())


def test_a_run_says_what_trackers_took() -> None:
    plan = documents.plan()
    took = Tracked(tracker="mlflow", points=42, sent=12, problem="it took 12 of 42 values in time")
    record = documents.record(plan).model_copy(update={"trackers": (took,)})
    text = " ".join(run_text(plan, record, None, "runs/x", has_report=False).split())
    assert "MLflow: 12 of 42 values by step (it took 12 of 42 values in time)" in text
