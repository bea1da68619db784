"""Two processes write the answers of one: the same tokens, whether each holds the model whole or in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job
from tests.runtime.training.test_on_policy_steps import asked, by_the_teacher
from tests.support.tiny_models import write_tiny_model

_ALONE: dict[str, Any] = {
    "train__micro_batch": 1,
    "strategy__adapter__dropout": 0.0,
    "seeds__sampling": 11,
    "eval__metrics": ("loss",),
    "eval__max_new_tokens": None,
}
_SHARED = {"train__world_size": 2, "device__count": 2}


def _steps(job: Job, name: str, key: str) -> list[float]:
    events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
    return [float(event[key]) for event in events if event["kind"] == "step"]


@pytest.mark.slow
def test_two_gloo_processes_write_and_learn_what_one_does(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "teacher", "gpt2", seed=8)
    # An odd number of rows leaves the second process one answer less, and of a divided model a row that stands in.
    alone = {**_ALONE, "train__distillation": asked(tmp_path / "teacher"), "train__batch_size": 3}
    job = make_job(tmp_path, **alone)
    job.run("one")
    plain = {"kind": "llama", "classes": 0, "strategy": "lora"}
    ways = {"ddp": (None, "ddp"), "fsdp": (None, "fsdp"), "stopped": (4, "ddp")}
    taught = {**alone, "train__distillation": by_the_teacher(tmp_path / "teacher", seq_kd={"temperature": 1.0})}
    make_job(tmp_path, **taught).run("taught")
    jobs = [
        {"name": name, "changes": {**alone, **_SHARED, "train__sharding": way}, "stop_at": stop, **plain}
        for name, (stop, way) in ways.items()
    ]
    jobs += [{"name": "taught by two", "changes": {**taught, **_SHARED}, "stop_at": None, **plain}]
    together(tmp_path, jobs)
    written = job.folder("one").answers.read_bytes()
    assert len({json.loads(line)["step"] for line in written.splitlines()}) == 6
    losses = _steps(job, "one", "loss")
    for name in ways:
        assert job.folder(name).answers.read_bytes() == written
        assert _steps(job, name, "loss") == pytest.approx(losses, rel=1e-5, abs=1e-6)
        assert _steps(job, name, "supervised") == _steps(job, "one", "supervised")
    assert job.folder("taught by two").answers.read_bytes() == job.folder("taught").answers.read_bytes()
    assert _steps(job, "taught by two", "loss") == pytest.approx(_steps(job, "taught", "loss"), rel=1e-5, abs=1e-6)
    final = {name: json.loads(job.folder(name).record.read_text())["final_weights_sha256"] for name in ways}
    assert final["stopped"] == final["ddp"], "a resumed run gives the same bits"
