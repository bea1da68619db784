"""A real Slurm with two nodes runs a plan, and runs it on after a worker was killed; `nox -s slurm`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launch.cluster import cluster, obstacle
from tests.launch.machines import PLAN, Machine, plan_of

pytestmark = [
    pytest.mark.skipif("FTC_SLURM" not in os.environ, reason="has its own session: nox -s slurm"),
    pytest.mark.skipif(bool(obstacle()), reason=obstacle()),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables with which Slurm's commands find the cluster."""
    with cluster(tmp_path_factory.mktemp("slurm") / "cluster") as environment:
        yield environment


@pytest.fixture
def machine(planned: Machine, slurm: dict[str, str], tmp_path: Path) -> Machine:
    """A copy of the planned machine, whose plan is for two nodes."""
    shutil.copytree(planned.root, tmp_path / "a")
    shutil.copytree(planned.cache, tmp_path / "cache-a")
    (tmp_path / "a" / "ftc.launch.yaml").write_text(
        # The nodes have names that only Slurm knows.
        "ftc_launch: 1\nslurm: {time: '30', setup: ['export MASTER_ADDR=127.0.0.1']}\n"
    )
    return Machine(tmp_path / "a", tmp_path / "cache-a", dict(slurm))


def _submit(machine: Machine, *words: str) -> str:
    plan_of(machine, "--set", "budget.devices=1", "--set", "budget.nodes=2", *words)
    launched = machine.ftc("launch", PLAN, "--on", "slurm")
    assert launched.code == 0, launched.text
    return launched.out.split()[-1]


def _state(machine: Machine, job: str) -> dict[str, str]:
    words = ["scontrol", "--oneliner", "show", "job", job]
    shown = subprocess.run(words, env={**os.environ, **machine.environment}, capture_output=True, text=True, check=True)
    return dict(word.split("=", 1) for word in shown.stdout.split() if "=" in word)


def _ended(machine: Machine, job: str, seconds: float) -> dict[str, str]:
    ends = time.monotonic() + seconds
    while (found := _state(machine, job))["JobState"] not in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"):
        assert time.monotonic() < ends, found
        time.sleep(1)
    return found


def _record(machine: Machine) -> dict[str, Any]:
    (file,) = machine.root.glob("runs/tiny/*/record.json")
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def test_srun_starts_one_run_on_two_nodes(machine: Machine) -> None:
    """D5: each task began a run of its own."""
    job = _submit(machine)
    ended = _ended(machine, job, 300)
    output = "".join(file.read_text() for file in machine.root.glob("*.out"))
    assert ended["JobState"] == "COMPLETED", output
    record = _record(machine)
    assert record["status"] == "finished"
    (segment,) = record["segments"]
    assert [one["rank"] for one in segment["processes"]] == [0, 1]
    assert segment["launcher"] == {"job_id": job, "kind": "slurm", "restart": 0, "scheduler": "slurm"}


def test_a_killed_worker_has_its_job_requeued_and_the_run_goes_on(machine: Machine) -> None:
    job = _submit(machine, "--set", "train.max_steps=400", "--set", "train.evaluate_every=20")
    _kill_after_a_checkpoint(machine)
    ended = _ended(machine, job, 600)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1")
    first, second = _record(machine)["segments"]
    assert second["from_step"] >= 20
    assert (first["launcher"]["restart"], second["launcher"]["restart"]) == (0, 1)


def _kill_after_a_checkpoint(machine: Machine) -> None:
    ends = time.monotonic() + 300
    while not any(machine.root.glob("runs/tiny/*/checkpoints/step-*")):
        assert time.monotonic() < ends
        time.sleep(0.1)
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_ours = f"FTC_CACHE={machine.cache}".encode() in environment
        if is_ours and b"\0apply\0" in words and b"SLURM_PROCID=1" in environment:
            os.kill(int(place.name), signal.SIGKILL)
            return
    raise AssertionError("the second task is not there")
