"""A real Ray runs a plan in two workers, and runs it on after one was killed; `nox -s ray`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.diagnostics import Refusal
from tests.launch.machines import PLAN, Ended, Machine, ended, plan_of, together, under_torchrun
from tests.support.session_packages import package_of

pytestmark = pytest.mark.skipif(os.environ.get("FTC_SESSION") != "ray", reason="has its own session: nox -s ray")

_STEPS = ("--set", "train.max_steps=40", "--set", "train.evaluate_every=10")


def _copy(planned: Machine, folder: Path, *, restarts: int = 3) -> Machine:
    package_of("ray", "ray")
    shutil.copytree(planned.root, folder / "a")
    shutil.copytree(planned.cache, folder / "cache-a")
    cache = f"'FTC_CACHE={folder / 'cache-a'}'"
    (folder / "a" / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nray: {{restarts: {restarts}, env: [{cache}]}}\n")
    return Machine(folder / "a", folder / "cache-a")


def _launched(machine: Machine) -> Any:
    return machine.popen(["-m", "ftc", "launch", PLAN, "--on", "ray"])


def _record(machine: Machine) -> dict[str, Any]:
    (file,) = machine.root.glob("runs/tiny/*/record.json")
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def _losses(machine: Machine) -> dict[int, float]:
    """Of each step; one that was trained again, because it came after the last checkpoint, has to have its loss."""
    (file,) = machine.root.glob("runs/tiny/*/events.ndjson")
    losses: dict[int, float] = {}
    for event in map(json.loads, file.read_text().splitlines()):
        if event["kind"] == "step":
            assert losses.setdefault(int(event["step"]), float(event["loss"])) == float(event["loss"])
    return losses


def _by_torchrun(planned: Machine, folder: Path, *words: str) -> Machine:
    machine = _copy(planned, folder)
    plan_of(machine, *words)
    told = together(under_torchrun([machine], "apply", PLAN, each=2))
    assert _record(machine)["status"] == "finished", [one.text for one in told]
    return machine


def _kill_second_process(machine: Machine) -> None:
    """Kills it once there is a checkpoint."""
    ends = time.monotonic() + 300
    while not any(machine.root.glob("runs/tiny/*/checkpoints/*10/MANIFEST.json")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"FTC_CACHE={machine.cache}".encode() in environment and b"\0apply\0" in words and b"RANK=1" in environment:
            os.kill(int(place.name), signal.SIGKILL)
            return
    raise AssertionError("the second process is not there")


def test_ray_trains_as_torchrun_does_and_goes_on_with_the_same_bits_after_a_kill(
    planned: Machine, tmp_path: Path
) -> None:
    undisturbed = _by_torchrun(planned, tmp_path / "other", *_STEPS)
    machine = _copy(planned, tmp_path)
    plan_of(machine, *_STEPS)
    run = _launched(machine)
    _kill_second_process(machine)
    told = ended(run)
    assert told.code == 0, told.text
    record, other = _record(machine), _record(undisturbed)
    assert _losses(machine) == _losses(undisturbed)
    assert record["final_weights_sha256"] == other["final_weights_sha256"]
    first, second = record["segments"]
    assert second["from_step"] >= 10, "Ray would begin at step 0"
    assert [one["rank"] for one in second["processes"]] == [0, 1]
    assert {(one["launcher"]["kind"], bool(one["launcher"]["job_id"])) for one in (first, second)} == {("ray", True)}
    audited = machine.ftc("audit", record["id"])
    assert audited.code == 0, audited.text


def test_a_lost_worker_is_named_where_ray_does_not_try_again(planned: Machine, tmp_path: Path) -> None:
    machine = _copy(planned, tmp_path, restarts=0)
    plan_of(machine, *_STEPS)
    run = _launched(machine)
    _kill_second_process(machine)
    told: Ended = ended(run)
    assert told.code == 75, told.text
    said = told.err.rpartition("error[FTC644]")[2]  # before it comes what Ray says
    assert f"process 1 on {platform.node()} was lost: killed by SIGKILL" in said
    assert "Traceback" not in said
    assert _record(machine)["steps_done"] >= 10


def test_what_cannot_go_better_is_not_tried_again(planned: Machine, tmp_path: Path) -> None:
    machine = _copy(planned, tmp_path)
    plan_of(machine)
    (machine.root / "encoder" / "model.safetensors").write_bytes(b"other")
    told = ended(_launched(machine))
    assert told.code == 6, told.text
    assert told.text.count("model.safetensors") >= 1


def test_a_machine_that_has_too_little_is_told_at_once() -> None:
    """Ray itself would wait for more for ever."""
    package_of("ray", "ray")
    from ftc.runtime.execution.ray_workers import run_ray

    scaling: dict[str, Any] = {"num_workers": 2, "use_gpu": True, "resources_per_worker": {"CPU": 1, "GPU": 64}}
    with pytest.raises(Refusal) as refused:
        run_ray({"address": "local", "scaling": scaling})
    (found,) = refused.value.diagnostics
    assert found.code == "FTC623"
    assert found.summary.endswith("GPUs, and the plan needs 128")
    one = {"CPU": 1, "GPU": 0}
    with pytest.raises(Refusal, match="no `H100`"):
        run_ray({"address": "local", "scaling": {**scaling, "resources_per_worker": one, "accelerator_type": "H100"}})


def test_a_plan_of_two_machines_runs_on_a_cluster_by_its_address(planned: Machine, tmp_path: Path) -> None:
    package_of("ray", "ray")
    from ray.cluster_utils import Cluster

    machine = _copy(planned, tmp_path)
    plan_of(machine, "--set", "budget.devices=1", "--set", "budget.nodes=2")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        told = machine.ftc("launch", PLAN, "--on", "ray", "--address", cluster.address)
    finally:
        cluster.shutdown()
    assert told.code == 0, told.text
    (segment,) = _record(machine)["segments"]
    assert [one["rank"] for one in segment["processes"]] == [0, 1]
    assert segment["launcher"]["kind"] == "ray"
