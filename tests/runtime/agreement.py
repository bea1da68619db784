"""Runs of several processes that do the work of one: what they have to agree in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ftc.runtime.artifacts.tensor_files import read_tensors
from tests.runtime.jobs import Job

__all__ = ["agree", "job_of", "steps_of"]


def job_of(name: str, kind: str, strategy: str, changes: dict[str, Any], stop_at: int | None = None) -> dict[str, Any]:
    """A run of a language model for `tests.runtime.children.together`."""
    return {"name": name, "kind": kind, "strategy": strategy, "changes": changes, "classes": 0, "stop_at": stop_at}


def steps_of(job: Job, name: str) -> list[dict[str, Any]]:
    """The steps of the run of that name."""
    events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
    return [event for event in events if event["kind"] == "step"]


def agree(job: Job, name: str) -> None:
    """The run of that name and `one` did the same, but for the order of sums."""
    ours, theirs = (json.loads(job.folder(which).record.read_text()) for which in ("one", name))
    for same in ("initial_weights_sha256", "supervised_tokens", "steps_done"):
        assert theirs[same] == ours[same]
    losses = [[float(step["loss"]) for step in steps_of(job, which)] for which in ("one", name)]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-6)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    is_whole = (job.folder("one").path / "model").is_dir()
    saved = "model/model.safetensors" if is_whole else "adapter/adapter_model.safetensors"
    one, two = (read_tensors(job.folder(which).path / saved) for which in ("one", name))
    assert {key: value.shape for key, value in two.items()} == {key: value.shape for key, value in one.items()}
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-4
    assert _measured(job, name) == pytest.approx(_measured(job, "one"), rel=1e-5)


def _measured(job: Job, name: str) -> list[float]:
    """The losses of validations and of the test split."""
    events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
    validations = [float(event["metrics"]["val_loss"]) for event in events if event["kind"] == "evaluated"]
    tuned = json.loads(job.folder(name).evaluation.read_text())["tuned"]["metrics"]
    assert validations, "a run is measured on its way"
    return [*validations, float(tuned["loss"])]
