"""Kills at every write, flush and rename of a run, at random, and of one of two processes.

A sample runs with every other test; `FTC_CRASH=1`, which `nox -s crash` sets, runs all of it. After each kill the
newest checkpoint is at least the last one that was told of, and the run goes on to the same bits.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import pathlib
import random
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.execution.state import refuse_held
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import StepLog, first_difference, read_step_log
from tests.runtime.jobs import Job, make_job
from tests.runtime.test_resume import in_child

_WHOLE = os.environ.get("FTC_CRASH") == "1"
campaign = pytest.mark.skipif(not _WHOLE, reason="takes long; `nox -s crash` runs it")
_KILLED = 9


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job with early stopping and a best checkpoint, that has run once without a kill."""
    early = {"metric": "val_loss", "patience": 3, "min_delta": 0.0}
    made = make_job(tmp_path_factory.mktemp("crash"), train__early_stopping=early)
    made.run("whole")
    return made


def assert_survived(job: Job, name: str) -> None:
    """What was committed is there, and the run goes on to the same bits."""
    folder = job.folder(name)
    events = folder.events.read_text().splitlines() if folder.events.exists() else []
    told = [json.loads(line) for line in events if line.endswith("}")]
    committed = max((event["step"] for event in told if event["kind"] == "checkpoint"), default=0)
    damage: list[str] = []
    newest = checkpoint.newest(
        folder.checkpoints,
        job.plan.job_sha256(),
        lambda found: damage.append(found.summary),
        read_step_log(folder.step_log) if folder.step_log.exists() else StepLog(),
    )
    assert damage == [], "a checkpoint is whole or absent"
    assert (newest.progress.step if newest else 0) >= committed
    record = job.run(name)
    whole = RunRecord.model_validate_json(job.folder("whole").record.read_bytes())
    assert record.final_weights_sha256 == whole.final_weights_sha256
    assert record.selected_step == whole.selected_step
    logs = [read_step_log(job.folder(run).step_log) for run in (name, "whole")]
    assert logs[0].steps == logs[1].steps
    assert first_difference(logs[0], logs[1], 0, 12) is None
    assert not list(folder.path.rglob(".tmp-*"))


class _Torn:
    """A file that is being written; the n-th write of all files ends the process in the middle."""

    def __init__(self, file: Any, is_due: Callable[[], bool]) -> None:
        self._file, self._is_due = file, is_due

    def write(self, data: Any) -> Any:
        if self._is_due():
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            os._exit(_KILLED)
        return self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def kill_at(operation: str, number: int) -> None:
    """Ends this process at its n-th operation of a kind: before it, or for a write in its middle."""
    counted = itertools.count(1)

    def is_due() -> bool:
        return next(counted) == number

    if operation == "write":
        real = io.open

        def opened(file: Any, mode: str = "r", *words: Any, **options: Any) -> Any:
            made = real(file, mode, *words, **options)
            return _Torn(made, is_due) if set(mode) & set("wa+") else made

        pathlib.io.open = opened  # type: ignore[attr-defined]
        return
    owner: Any = os if operation == "fsync" else Path
    original = getattr(owner, operation)

    def fake(*words: Any, **options: Any) -> Any:
        if is_due():
            os._exit(_KILLED)
        return original(*words, **options)

    setattr(owner, operation, fake)


def run_killed_at(job: Job, name: str, operation: str, number: int) -> int:
    def work() -> None:
        kill_at(operation, number)
        job.run(name)

    return in_child(work)


@pytest.mark.sample(1)
@pytest.mark.parametrize("operation", ["write", "fsync", "replace", "rename", "mkdir"])
def test_a_kill_at_some_operations(job: Job, operation: str) -> None:
    most = {"write": 60, "fsync": 40, "replace": 16, "rename": 4, "mkdir": 4}[operation]
    for number in sorted(random.Random(operation).sample(range(2, most), 2)):
        name = f"some-{operation}-{number}"
        assert run_killed_at(job, name, operation, number) == _KILLED
        assert_survived(job, name)


@campaign
@pytest.mark.parametrize("operation", ["write", "fsync", "replace", "rename", "mkdir"])
def test_a_kill_at_every_operation(job: Job, operation: str) -> None:
    for number in itertools.count(1):
        name = f"every-{operation}-{number}"
        if run_killed_at(job, name, operation, number) == 0:  # there are no more of them
            assert number > 4
            return
        assert_survived(job, name)


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@campaign
def test_two_hundred_kills_at_random(job: Job) -> None:
    """Moments are counted in the process's own CPU time: on a busy machine a clock would kill before the first step."""
    chance, kills = random.Random(200), 0
    before = _seconds_of_children()
    assert in_child(lambda: job.run("timed")) == 0
    seconds = _seconds_of_children() - before

    def work(name: str, delay: float) -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, delay)  # the kernel ends the process; no handler runs
        job.run(name)

    for number in itertools.count():
        name = f"random-{number}"
        # The moment is drawn here: a child that drew it would draw from its own copy, and always the same one.
        while code := in_child(functools.partial(work, name, chance.uniform(0.01, 0.9 * seconds))):
            assert code == -signal.SIGPROF
            kills += 1
        assert_survived(job, name)
        if kills >= 200:
            return


@campaign
@pytest.mark.skipif(not Path("/usr/bin/strace").exists(), reason="strace is not installed")
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
def test_a_kill_by_the_kernel_at_some_calls(job: Job, call: str) -> None:
    """The same without any help of Python: every thread, and every library's own writes."""
    ours = {"write": "write,pwrite64", "rename": "rename,renameat,renameat2", "mkdir": "mkdir,mkdirat"}.get(call, call)
    for number in sorted(random.Random(call).sample(range(1, {"write": 250, "fsync": 40}.get(call, 16)), 3)):
        name = f"strace-{call}-{number}"
        traced = ["strace", "-f", "-qq", "-o", "/dev/null"]
        inject = ["-e", f"trace={ours}", "-e", f"inject={ours}:signal=KILL:when={number}"]
        child = [sys.executable, "-m", "tests.runtime.child", str(job.root), name, _CHANGES]
        subprocess.run([*traced, *inject, *child], cwd=Path(__file__).parents[2], capture_output=True, check=False)
        assert_survived(job, name)


_CHANGES = json.dumps({"train__early_stopping": {"metric": "val_loss", "patience": 3, "min_delta": 0.0}})


class TestTwoProcesses:
    def _start(self, root: Path, **environment: str) -> subprocess.Popen[str]:
        changes = {"train__world_size": 2, "train__micro_batch": 1, "train__num_steps": 4000}
        changes |= {"train__evaluate_every_steps": 4000}
        make_job(root)
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
                *("-m", "tests.runtime.child", str(root), "two", json.dumps(changes)),
            ],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def _second_at_step(self, child: subprocess.Popen[str], root: Path, step: int) -> int:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["kind"] == "step" and event["step"] == step:
                return int((root / "pid-1").read_text())
        pytest.fail(child.stderr.read() if child.stderr else "it said nothing")

    @campaign
    def test_a_dead_one_is_named_and_ends_the_other(self, tmp_path: Path) -> None:
        with self._start(tmp_path) as child:
            os.kill(self._second_at_step(child, tmp_path, 3), signal.SIGKILL)
            _, errors = child.communicate()
        assert child.returncode != 0
        assert "FTC644: another process was lost" in errors

    @campaign
    def test_one_that_hangs_is_named_and_ends_the_other(self, tmp_path: Path) -> None:
        with self._start(tmp_path, FTC_SILENT_SECONDS="6") as child:
            second = self._second_at_step(child, tmp_path, 3)
            os.kill(second, signal.SIGSTOP)
            assert child.stderr is not None
            found = next((line for line in child.stderr if "error[FTC644]" in line), "")
            os.kill(second, signal.SIGKILL)  # torchrun would give it half a minute
            child.communicate()
        assert "process 1 was lost: silent for 6 s" in found
        assert child.returncode != 0

    @campaign
    def test_without_their_launcher_both_end_and_leave_the_run_free(self, tmp_path: Path) -> None:
        with self._start(tmp_path, FTC_SILENT_SECONDS="6") as child:
            self._second_at_step(child, tmp_path, 3)
            workers = [os.pidfd_open(int((tmp_path / f"pid-{rank}").read_text())) for rank in (0, 1)]
            child.kill()
            for worker in workers:
                assert select.select([worker], [], [], 120)[0], "it outlived its launcher"
                os.close(worker)
        refuse_held(make_job(tmp_path).folder("two"))
