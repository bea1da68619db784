"""Runs as processes of their own: stopped, killed, resumed and repeated, they end with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Ftc, MakeProject

STEPS = 24
ADAPTER = "adapter/adapter_model.safetensors"


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    """`ftc apply` in a process of its own, which tells its steps on standard output."""
    command = [sys.executable, "-m", "ftc", "apply", *words, "--json"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until_step(child: subprocess.Popen[str], step: int) -> None:
    """Reads events until the child has done a step of training."""
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        if event["kind"] == "step" and event["step"] >= step:
            return
    pytest.fail(f"the run ended before step {step}: {child.stderr.read() if child.stderr else ''}")


def result(root: Path) -> tuple[Path, dict[str, object]]:
    (file,) = (root / "runs").glob("*/*/record.json")
    return file.parent, json.loads(file.read_text())


@pytest.fixture
def reference(project: MakeProject, ftc: Ftc) -> bytes:
    """The adapter of a run that nothing disturbed, in a project of its own."""
    root = project(steps=STEPS, name="undisturbed")
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    assert ftc("apply", "job.plan.json").code == 0
    return (result(root)[0] / ADAPTER).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGINT, 130, "interrupted"),
        pytest.param(
            *(signal.SIGKILL, -signal.SIGKILL, "running"),
            marks=pytest.mark.skipif(os.environ.get("FTC_CRASH") != "1", reason="one of many: nox -s crash"),
        ),
    ],
    ids=["ctrl-c", "killed"],
)
def test_a_run_goes_on_where_it_stopped(
    project: MakeProject, ftc: Ftc, reference: bytes, number: signal.Signals, code: int, status: str
) -> None:
    root = project(steps=STEPS, name="disturbed")
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    with start(root, "job.plan.json") as child:
        read_until_step(child, 14)
        os.kill(child.pid, number)
        out, err = child.communicate()
    assert child.returncode == code, err
    assert "Traceback" not in out + err
    folder, record = result(root)
    assert record["status"] == status
    assert not (folder / ADAPTER).exists()

    assert ftc("apply", "job.plan.json").code == 0
    folder, record = result(root)
    assert record["status"] == "finished"
    segments = record["segments"]
    assert isinstance(segments, list)
    assert len(segments) == 2
    assert segments[1]["from_step"] >= 12
    assert (folder / ADAPTER).read_bytes() == reference
    assert ftc("audit", folder.name).code == 0


@pytest.mark.slow
def test_two_processes_do_not_work_on_one_run(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=400)
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    with start(root, "job.plan.json") as child:
        read_until_step(child, 1)
        second = ftc("apply", "job.plan.json")
        child.kill()
    assert second.code == 1
    assert "[FTC627]" in second.err
    assert f"process {child.pid}" in second.text


@pytest.mark.slow
def test_the_seed_decides_about_the_first_weights(project: MakeProject, ftc: Ftc) -> None:
    records: list[dict[str, object]] = []
    for seed in (17, 17, 18):
        root = project(steps=1, name=f"run-{len(records)}")
        recipe = root / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("batch_size: 8", f"batch_size: 8, seed: {seed}"))
        assert ftc("apply", "recipe.yaml", "--yes").code == 0
        records.append(result(root)[1])
    first, same, other = (record["initial_weights_sha256"] for record in records)
    assert first == same
    assert first != other
    assert records[0]["final_weights_sha256"] == records[1]["final_weights_sha256"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_exit_code_names_the_signal(
    project: MakeProject, ftc: Ftc, number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.runtime.training import hooks
    from ftc.runtime.training.hooks import Training
    from ftc.spec.documents.events import StepDone

    def strike(_training: Training, done: StepDone) -> None:
        if done.step == 1:
            os.kill(os.getpid(), number)

    root = project(steps=2)
    monkeypatch.setattr("ftc.runtime.training.train.HOOKS", (strike, *hooks.HOOKS))
    stopped = ftc("apply", "recipe.yaml", "--yes")
    assert stopped.code == code, stopped.text
    assert "goes on from there" in stopped.err
    assert result(root)[1]["status"] == "interrupted"
