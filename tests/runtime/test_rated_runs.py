"""Runs of rated answers (KTO): killed ones go on to the same bits, and two processes do the work of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from ftc.runtime.tasks.rated_answers import RatedCoupling
from ftc.spec.documents.loss_settings import PreferenceSettings
from tests.runtime.children import together
from tests.runtime.jobs import Job, reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.runtime.training.test_preference_steps import answer_pairs
from tests.support.streams import write_columns
from tests.support.tiny_models import write_tiny_model

_COMPARED: dict[str, Any] = {"loss": "kto", "beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.8}
_CHANGES: dict[str, Any] = {
    "text__form": "preference",
    "train__preference": _COMPARED,
    "eval__metrics": ("preference_accuracy", "reward_margin"),
    "eval__max_new_tokens": None,
}


def _job(root: Path, **changes: Any) -> Job:
    write_tiny_model(root / "model-llama", "llama")
    for seed, (name, rows) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        answer_pairs(root / "streams-0" / f"{name}.arrow", rows, seed, rated=True)
    return reopen_job(root, **_CHANGES, **changes)


@pytest.mark.slow
@pytest.mark.parametrize(("event", "count"), [("step", 5), ("evaluated", 2)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, event: str, count: int) -> None:
    job = _job(tmp_path)
    whole = job.run("whole")
    run_killed(job, "killed", event, count)
    assert_same(job, "killed", whole)


@pytest.mark.slow
def test_two_gloo_processes_estimate_from_all_rows_of_a_step(tmp_path: Path) -> None:
    """What rewards are compared with is a mean over the whole batch, however many processes hold it."""
    alone: dict[str, Any] = {"train__micro_batch": 1, "strategy__adapter__dropout": 0.0}
    job = _job(tmp_path, **alone)
    job.run("one")
    shared = {**_CHANGES, **alone, "train__world_size": 2, "device__count": 2, "train__sharding": "ddp"}
    plain = {"kind": "llama", "classes": 0, "stop_at": None}
    together(tmp_path, [{"name": "two", "strategy": "lora", "changes": shared, **plain}])
    losses, records, metrics = [], [], []
    for name in ("one", "two"):
        folder = job.folder(name)
        events = [json.loads(line) for line in folder.events.read_text().splitlines()]
        losses.append([float(event["loss"]) for event in events if event["kind"] == "step"])
        records.append(json.loads(folder.record.read_text()))
        metrics.append(json.loads(folder.evaluation.read_text())["tuned"]["metrics"])
    assert [one["observed"]["world_size"] for one in records] == [1, 2]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert float(metrics[1]["reward_margin"]) == pytest.approx(float(metrics[0]["reward_margin"]), rel=1e-3)


def test_what_nobody_rated_is_not_bad(tmp_path: Path) -> None:
    rows = write_columns(tmp_path / "rows.arrow", [[1, 2, 1, 3]], [[0, 1, 0, 1]], prompts=[1], targets=[[2]])
    with pytest.raises(ValueError, match="row 0 has no rating"):
        RatedCoupling(PreferenceSettings(**_COMPARED), 4, {}).groups(rows, [0])
