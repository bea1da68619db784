"""What disks, memory, clocks and signals do to a run: it says so by name, loses nothing, and goes on to the same bits.

Each fault strikes at a chosen moment. Kills are in `test_crash.py`, damaged checkpoints in `test_resume.py`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ftc.runtime.artifacts import saving
from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.evaluation import evaluate
from ftc.runtime.execution import journal
from ftc.runtime.execution.execute import execute
from ftc.runtime.execution.journal import Journal, StepLogFile
from ftc.runtime.training import hooks, loop
from ftc.spec.canonical import file_digest, to_text
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import read_step_log
from tests.runtime.jobs import Job, make_job, reopen_job
from tests.runtime.test_resume import in_child

_KILLED = 9


def sampled(values: Iterable[Any], *sample: Any) -> list[Any]:
    """Parameters of which only some are tried with every other test; `nox -s crash` tries them all."""
    rare = pytest.mark.skipif(os.environ.get("FTC_CRASH") != "1", reason="one of many; `nox -s crash` tries it")
    return [one if one in sample else pytest.param(one, marks=rare) for one in values]


def assert_goes_on(job: Job, name: str) -> None:
    """The run ends as the undisturbed one did."""
    record = job.run(name)
    whole = RunRecord.model_validate_json(job.folder("whole").record.read_bytes())
    assert record.status == "finished"
    assert record.final_weights_sha256 == whole.final_weights_sha256
    assert read_step_log(job.folder(name).step_log).steps == read_step_log(job.folder("whole").step_log).steps


def at(kind: str, strike: Callable[[], object], **wanted: Any) -> Callable[[Event], None]:
    """A listener that strikes at the first event of a kind with these values."""
    due = [True]

    def listen(event: Event) -> None:
        if due and event.kind == kind and all(getattr(event, key) == value for key, value in wanted.items()):
            due.clear()
            strike()

    return listen


_MOMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "verifying": ("phase_started", {"phase": "verify"}),
    "loading": ("phase_started", {"phase": "load"}),
    "a step": ("step", {"step": 4}),
    "validation": ("evaluated", {"step": 6}),
    "saving": ("checkpoint", {"step": 6}),
    "exporting": ("phase_started", {"phase": "export"}),
    "measuring": ("phase_started", {"phase": "evaluate", "detail": "base"}),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("moment", sampled(_MOMENTS, "validation", "exporting"))
def test_a_signal_at_any_moment_leaves_a_run_that_goes_on(job: Job, name: str, moment: str) -> None:
    kind, wanted = _MOMENTS[moment]
    number = signal.SIGHUP if moment == "saving" else signal.SIGTERM
    record = execute(job.plan, job.inputs, job.folder(name), at(kind, lambda: os.kill(os.getpid(), number), **wanted))
    assert record.status == "interrupted"
    assert record.segments[-1].ended_by == "interrupted"
    assert_goes_on(job, name)


@pytest.mark.slow
def test_two_signals_at_once_lose_no_more_than_the_steps_since_the_checkpoint(job: Job, name: str) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    for step in (2, 7):
        with pytest.raises(KeyboardInterrupt):
            execute(job.plan, job.inputs, job.folder(name), at("step", twice, step=step))
    assert_goes_on(job, name)


@pytest.mark.sample(2)
@pytest.mark.parametrize("place", sampled(["save", "step", "validation", "measuring"], "save"))
def test_memory_that_runs_out_is_told_by_name_wherever_it_does(
    job: Job, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, function, turn = {
        "save": (saving, "write_tensors", 3),
        "step": (loop, "set_learning_rate", 5),
        "validation": (hooks, "validate", 2),
        "measuring": (evaluate, "score_rows", 6),
    }[place]
    real, turns = getattr(module, function), iter(range(1, 1000))

    def runs_out(*words: Any, **options: Any) -> Any:
        if next(turns) == turn:
            raise torch.OutOfMemoryError("out of memory")
        return real(*words, **options)

    monkeypatch.setattr(module, function, runs_out)
    with pytest.raises(Refusal, match="FTC633"):
        job.run(name)
    monkeypatch.undo()
    assert not list(job.folder(name).path.rglob(".tmp-*"))
    assert_goes_on(job, name)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "when", sampled([("fsync", 20), ("fsync", 33), ("events", 9), ("step_log", 5)], ("fsync", 33), ("step_log", 5))
)
def test_a_disk_that_refuses_is_told_and_never_asked_twice(
    job: Job, name: str, when: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that failed says nothing the second time: the save has failed, and the one before counts."""
    operation, turn = when
    owner, function, number = {
        "fsync": (os, "fsync", errno.EIO),
        "events": (Journal, "emit", errno.ENOSPC),
        "step_log": (StepLogFile, "add", errno.ENOSPC),
    }[operation]
    real, turns = getattr(owner, function), iter(range(1, 10_000))

    def refuses(*words: Any) -> Any:
        if next(turns) == turn:
            raise OSError(number, os.strerror(number))
        return real(*words)

    monkeypatch.setattr(owner, function, refuses)
    with pytest.raises(Refusal, match="FTC647"):
        job.run(name)
    monkeypatch.undo()
    assert_goes_on(job, name)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["events.ndjson", "ladder.ndjson"])
def test_a_disk_that_stays_full_hides_no_reason(
    job: Job, name: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write and every flush is refused from then on, those of closing the file too."""
    real, left = journal.open_at_last_line, [9]

    class Full(io.FileIO):
        def write(self, data: Any, /) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data) or 0

    def opened(path: Path) -> Any:
        if path.name != file:
            return real(path)
        real(path).close()
        return io.BufferedWriter(Full(path, "a"))

    monkeypatch.setattr("ftc.runtime.execution.journal.open_at_last_line", opened)
    with pytest.raises(Refusal, match="FTC647"):
        job.run(name)
    monkeypatch.undo()
    assert_goes_on(job, name)


@pytest.mark.slow
def test_a_clock_that_jumps_decides_about_nothing(job: Job, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real_seconds, real_ns = time.time, time.time_ns
    days = [0]
    monkeypatch.setattr(time, "time", lambda: real_seconds() + days[0] * 86_400)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + days[0] * 86_400 * 10**9)

    def jump() -> None:
        days[0] = -1 if days[0] == 1 else 1
        if days[0] < 0:
            os.kill(os.getpid(), signal.SIGTERM)

    first, second = at("step", jump, step=3), at("step", jump, step=8)

    def listen(event: Event) -> None:
        first(event)
        second(event)

    record = execute(job.plan, job.inputs, job.folder(name), listen)
    assert (record.status, record.steps_done) == ("interrupted", 8)
    assert record.train_seconds is not None
    assert 0 < record.train_seconds < 3600
    assert_goes_on(job, name)


class TestPowerCut:
    """What was written and not flushed is gone: its pages come back as zeros."""

    def _run_until(self, job: Job, name: str, number: int, log: Path) -> int:
        """Runs in a process that ends at its n-th flush, and notes each file's size when it was flushed."""

        def work() -> None:
            real, left = os.fsync, [number]

            def fsync(descriptor: int) -> None:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(_KILLED)
                real(descriptor)
                status = os.fstat(descriptor)
                with log.open("a") as file:
                    file.write(f"{status.st_ino} {status.st_size}\n")

            os.fsync = fsync  # type: ignore[assignment]
            job.run(name)

        return in_child(work)

    @pytest.mark.sample(2)
    @pytest.mark.parametrize("number", sampled([12, 25, 31, 44], 31))
    def test_what_was_never_flushed_is_not_counted_on(self, job: Job, name: str, number: int, tmp_path: Path) -> None:
        log = tmp_path / "flushed"
        assert self._run_until(job, name, number, log) == _KILLED
        flushed = {int(inode): int(size) for inode, size in map(str.split, log.read_text().splitlines())}
        for file in job.folder(name).path.rglob("*"):
            if file.is_file() and (kept := flushed.get(file.stat().st_ino, 0)) < (size := file.stat().st_size):
                with file.open("r+b") as stream:
                    stream.seek(kept)
                    stream.write(bytes(size - kept))
        assert_goes_on(job, name)

    @pytest.mark.slow
    def test_a_record_is_never_older_than_what_it_names(self, job: Job, name: str, tmp_path: Path) -> None:
        log = tmp_path / "flushed"
        assert self._run_until(job, name, 10_000, log) == 0
        flushed = {int(inode): int(size) for inode, size in map(str.split, log.read_text().splitlines())}
        record = RunRecord.model_validate_json(job.folder(name).record.read_bytes())
        for output, facts in record.outputs.items():
            status = (job.folder(name).path / output).stat()
            assert flushed.get(status.st_ino) == facts.size, f"{output} is not on the disk"


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("damaged", "resumed"),
    [
        ({7: "trainable.safetensors"}, [6]),
        ({7: "trainable.safetensors", 6: "optimizer.safetensors"}, []),
    ],
    ids=["the newest", "both that are kept"],
)
def test_a_checkpoint_that_is_whole_and_of_another_model_is_passed_over(
    job: Job, name: str, damaged: dict[int, str], resumed: list[int]
) -> None:
    """Its manifest is right, so that only the model itself can tell. Where none is left, the run starts over."""
    stop = at("step", lambda: os.kill(os.getpid(), signal.SIGTERM), step=7)
    assert execute(job.plan, job.inputs, job.folder(name), stop).steps_done == 7
    for step, file in damaged.items():
        folder = job.folder(name).checkpoints / f"step-{step:08d}"
        tensors = read_tensors(folder / file)
        first = min(tensors)
        tensors[f"{first}.other"] = tensors.pop(first)
        save_file(tensors, folder / file)
        manifest = json.loads((folder / "MANIFEST.json").read_bytes())
        manifest["files"][file] = {
            "size": (folder / file).stat().st_size,
            "sha256": file_digest(folder / file),
        }
        (folder / "MANIFEST.json").write_text(to_text(manifest))
    assert_goes_on(job, name)
    assert [event.code for event in job.of_kind("noticed")] == ["FTC629"] * len(damaged)
    assert [event.step for event in job.of_kind("resumed")] == resumed


_ACCUMULATED: list[dict[str, Any]] = [
    {"train__micro_batch": 1},
    {"train__micro_batch": 3},
    {"train__micro_batch": 4, "train__batching": "length_grouped"},
    {"train__micro_batch_tokens": 24},
    {"train__packing": True},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", sampled(_ACCUMULATED, _ACCUMULATED[1]))
def test_a_resume_in_the_middle_of_an_epoch_with_any_accumulation(tmp_path: Path, changes: dict[str, Any]) -> None:
    early = {"metric": "val_loss", "patience": 3, "min_delta": 0.0}
    job = make_job(tmp_path, train__num_steps=9, train__early_stopping=early, **changes)
    job.run("whole")
    for step in (2, 7):
        stop = at("step", lambda: os.kill(os.getpid(), signal.SIGTERM), step=step)
        record = execute(job.plan, job.inputs, job.folder("run"), stop)
        assert (record.status, record.steps_done) == ("interrupted", step)
    assert_goes_on(reopen_job(tmp_path, train__num_steps=9, train__early_stopping=early, **changes), "run")
