"""A finished run on disk, made by hand, with what a tracker is told of: no training, no torch."""

from __future__ import annotations

import json
from pathlib import Path

from ftc.spec.documents.events import Evaluated, Event, PhaseStarted, RunEnded, RunStarted, StepDone
from ftc.verbs.runs import Run, load_run
from tests.support import documents

__all__ = ["EVENTS", "VALUES", "append_events", "make_run"]

STEPS = 4


def _at(second: float) -> str:
    return f"2026-03-01T10:00:{second:06.3f}+00:00"


def _step(step: int) -> StepDone:
    fed = {"tokens": 120, "supervised": 8, "seconds": 0.5, "epoch": step / STEPS}
    return StepDone.model_validate(
        {"step": step, "loss": 1 / step, "learning_rate": 1e-3, "grad_norm": 0.5, **fed, "time": _at(step)}
    )


EVENTS: tuple[Event, ...] = (
    RunStarted(run_id=documents.RUN_ID, folder="runs/x", num_steps=STEPS, time=_at(0)),
    PhaseStarted(phase="train", detail="4 steps", time=_at(0)),
    *(_step(step) for step in range(1, STEPS + 1)),
    Evaluated(step=STEPS, metrics={"val_loss": 0.7, "accuracy": 0.8}, best=True, seconds=0.2, time=_at(5)),
    RunEnded(status="finished", detail="", time=_at(6)),
)
VALUES = 6 * STEPS + 2
"""Values by step that the events have."""


def append_events(folder: Path, events: tuple[Event, ...]) -> None:
    """Writes events as a run does."""
    with (folder / "events.ndjson").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(event.to_json()) + "\n" for event in events)


def make_run(root: Path, *, recipe: str = "# the recipe\n") -> Run:
    """Writes a finished run into `runs/`, and its recipe beside it."""
    plan = documents.plan().sealed()
    folder = root / "runs" / plan.name / documents.RUN_ID
    texts = {
        "plan.json": plan.to_text(),
        "record.json": documents.record(plan).to_text(),
        "eval.json": documents.evaluation().to_text(),
        "recipe.yaml": recipe,
        "recipe.lock.json": plan.lock.to_text(),
        "README.md": "# model card\n",
        "report.html": "<!doctype html><title>report</title>",
        "predictions.ndjson": '{"secret": "rows"}\n',
        "adapter/adapter_config.json": "{}",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    append_events(folder, EVENTS)
    return load_run(folder)
