"""Levels of determinism: what is refused, what is proven, and what happens when two runs differ."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.replay import proof
from ftc.runtime.replay.replay import Replayed
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.audit import ReplayRequest
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.storage.processes import PINNED
from tests.runtime.jobs import Job, make_job

_STEPS = 2
_EXACT = {"asked": "bitwise", "kernels": "exact", "proof_steps": _STEPS}


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PINNED.items():
        monkeypatch.setenv(name, value)


def bitwise_job(root: Path, asked: str = "bitwise", **changes: Any) -> Job:
    job = make_job(root, train__determinism={**_EXACT, "asked": asked}, **changes)
    steps = [job.plan.steps[0].model_dump(), {"kind": "prove", "steps": _STEPS}]
    steps += [step.model_dump() for step in job.plan.steps[1:]]
    plan = {**job.plan.model_dump(by_alias=True), "steps": tuple(steps)}
    job.plan = type(job.plan).model_validate(plan).sealed()
    return job


Climbed = Callable[[ReplayRequest, Any], Replayed]


def climbing(job: Job, monkeypatch: pytest.MonkeyPatch, *changes: dict[str, str]) -> None:
    """Instead of fresh processes, an earlier run's step log; each turn with its own change to step 2."""
    earlier = make_job(job.root, train__num_steps=_STEPS)
    earlier.run("earlier")
    known, turns = read_step_log(earlier.folder("earlier").step_log), iter(changes)

    def replay(request: ReplayRequest, go_on: object) -> Replayed:
        line = known.steps[2].model_copy(update=next(turns))
        return Replayed(steps={**known.steps, 2: line}, checksums=dict(known.checksums), is_over=True)

    monkeypatch.setattr(proof, "replay_in_fresh_process", replay)


@pytest.mark.slow
@pytest.mark.usefixtures("pinned")
def test_a_bitwise_run_is_proven_before_a_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bitwise_job(tmp_path, train__num_steps=_STEPS)
    climbing(job, monkeypatch, {}, {})
    record = job.run()
    assert record.status == "finished"
    assert (record.determinism.level, record.determinism.proof_steps) == ("D1", _STEPS)
    assert read_step_log(job.folder().proof).height == _STEPS
    assert [event.phase for event in job.of_kind("phase_started")][:3] == ["verify", "prove", "load"]
    assert record.observed.machine.math["cudnn_tf32"] == "false"
    assert torch.backends.cudnn.allow_tf32, "what was there before is back"


@pytest.mark.slow
@pytest.mark.usefixtures("pinned")
def test_two_processes_that_differ_end_a_bitwise_run_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bitwise_job(tmp_path)
    climbing(job, monkeypatch, {}, {"loss": (1.5).hex()})
    with pytest.raises(Refusal) as refusal:
        job.run()
    (found,) = refusal.value.diagnostics
    assert (found.code, refusal.value.exit_code) == ("FTC642", 7)
    assert "two fresh processes gave different results at step 2: loss" in found.summary
    assert job.of_kind("step") == []


@pytest.mark.slow
@pytest.mark.usefixtures("pinned")
def test_a_run_that_differs_from_its_proof_keeps_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bitwise_job(tmp_path, train__evaluate_every_steps=_STEPS)
    other = {"grad_norm": (1.5).hex()}
    climbing(job, monkeypatch, other, other)
    with pytest.raises(Refusal, match="the run differs from a fresh process at step 2: gradient norm"):
        job.run()
    assert not job.folder().checkpoints.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("pinned")
def test_best_effort_tells_and_records_what_it_fell_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bitwise_job(tmp_path, "best_effort")
    climbing(job, monkeypatch, {}, {"loss": (1.5).hex()})
    record = job.run()
    assert record.status == "finished"
    assert record.determinism.level == "D0"
    assert "step 2: loss" in record.determinism.detail
    assert [event.code for event in job.of_kind("noticed")] == ["FTC643"]


def test_an_environment_that_was_not_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PINNED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    job = bitwise_job(tmp_path)
    with pytest.raises(Refusal) as refusal:
        job.run()
    (found,) = refusal.value.diagnostics
    assert found.code == "FTC641"
    assert found.notes == ("PYTHONHASHSEED is 7, but must be 0",)


@pytest.mark.slow
def test_off_takes_any_kernel(tmp_path: Path) -> None:
    job = make_job(
        tmp_path, train__determinism={"asked": "off", "kernels": "any", "proof_steps": 0}, train__num_steps=1
    )
    assert job.run().observed.machine.math["deterministic_algorithms"] == "false"
    assert make_job(tmp_path).run("usual").observed.machine.math["deterministic_algorithms"] == "true"


_TABLE = [
    ("llama", "full", 0, {}),
    ("llama", "lora", 0, {"model__attention": "eager"}),
    ("llama", "qlora", 0, {}),
    ("llama", "qlora", 0, {"strategy__quantization": "fp4"}),
    ("gpt2", "lora", 0, {}),
    ("bert", "full", 3, {}),
    ("bert", "lora", 3, {"model__attention": "eager", "train__precision": "bfloat16"}),
]


@pytest.mark.skipif(os.environ.get("FTC_CRASH") != "1", reason="takes minutes; `nox -s crash` runs it")
@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(("kind", "strategy", "classes", "changes"), _TABLE)
def test_every_kernel_of_the_table_for_processors_gives_the_same_bits_in_two_processes(
    tmp_path: Path, kind: str, strategy: str, classes: int, changes: dict[str, Any]
) -> None:
    job = bitwise_job(tmp_path, kind=kind, strategy=strategy, classes=classes, **changes)
    assert job.run().determinism.level == "D1"
