"""Checkpoints that a thread writes while training goes on: the same bits, whole or absent, told of where it fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

pytest.importorskip("torch")

from ftc.runtime.artifacts import saving
from ftc.runtime.artifacts.tensor_files import write_tensors
from ftc.runtime.execution.execute import execute
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.record import RunRecord
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, WEIGHTS, stored_digests
from ftc.spec.storage.model_files import TensorDigest
from tests.runtime.jobs import Job, make_job, reopen_job
from tests.runtime.test_resume import in_child

_SECONDS = 30.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    """Where a job has run that waits for its checkpoints, as `whole`, and its record."""
    root = tmp_path_factory.mktemp("undisturbed")
    return root, make_job(root, train__keep_checkpoints=9).run("whole")


@pytest.fixture
def job(undisturbed: tuple[Path, RunRecord], tmp_path: Path) -> Job:
    """The same job with checkpoints in the background, in a folder of its own."""
    found = reopen_job(undisturbed[0], train__keep_checkpoints=9, train__save_in_background=True)
    found.root = tmp_path
    return found


@pytest.fixture
def whole(undisturbed: tuple[Path, RunRecord]) -> RunRecord:
    return undisturbed[1]


def _slow(monkeypatch: pytest.MonkeyPatch, go_on: Flag) -> None:
    """Files of checkpoints wait for a sign before they are written, at most some seconds."""

    def wait(*args: Any) -> None:
        go_on.wait(_SECONDS)
        write_tensors(*args)

    monkeypatch.setattr(saving, "write_tensors", wait)


def _at(step: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something once a step is done, before what comes behind it."""

    def hear(event: Event) -> None:
        if event.kind == "step" and event.step == step:
            act()

    return hear


def _saved(job: Job, name: str = "run") -> dict[str, list[dict[str, TensorDigest]]]:
    return {
        folder.name: [stored_digests([folder / file]) for file in (WEIGHTS, OPTIMIZER)]
        for folder in job.folder(name).checkpoints.iterdir()
    }


@pytest.mark.slow
def test_training_goes_on_meanwhile_with_the_same_bits(
    job: Job, whole: RunRecord, undisturbed: tuple[Path, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, heard = Flag(), []
    _slow(monkeypatch, go_on)
    sign = _at(5, go_on.set)

    def hear(event: Event) -> None:
        heard.append((event.kind, getattr(event, "step", None)))
        sign(event)

    record = execute(job.plan, job.inputs, job.folder(), hear)
    assert heard.index(("step", 5)) < heard.index(("checkpoint", 3)) < heard.index(("checkpoint", 6))
    assert [step for kind, step in heard if kind == "checkpoint"] == [3, 6, 9, 12]
    assert record.final_weights_sha256 == whole.final_weights_sha256
    assert (record.status, record.selected_step) == (whole.status, whole.selected_step)
    expected = Job(job.plan, job.inputs, undisturbed[0])
    assert _saved(job) == _saved(expected, "whole")


@pytest.mark.slow
def test_a_run_killed_while_writing_goes_on_from_the_last_whole_checkpoint(
    job: Job, whole: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        began: list[str] = []

        def hang(path: Path, *rest: Any) -> None:
            began.append(path.parent.name)
            if len(began) == 4:  # the second file of the second checkpoint
                path.write_bytes(b"half")
                Flag().wait(_SECONDS)
            write_tensors(path, *rest)

        monkeypatch.setattr(saving, "write_tensors", hang)
        execute(job.plan, job.inputs, job.folder(), _at(8, lambda: os._exit(9)))

    assert in_child(work) == 9
    folder = job.folder().checkpoints
    assert sorted(path.name for path in folder.iterdir()) == [".tmp-step-00000006", "step-00000003"]
    record = job.run()
    assert [event.step for event in job.of_kind("resumed")] == [3]
    assert record.final_weights_sha256 == whole.final_weights_sha256
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.slow
def test_a_disk_that_fills_meanwhile_ends_the_run_at_a_later_step(
    job: Job, whole: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = iter(range(1, 100))

    def full(*args: Any) -> None:
        if next(saves) == 4:  # the second file of the second checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        write_tensors(*args)

    monkeypatch.setattr(saving, "write_tensors", full)
    with pytest.raises(Refusal, match="FTC647: could not write the run: No space left"):
        job.run()
    assert [path.name for path in job.folder().checkpoints.iterdir()] == ["step-00000003"]
    record = RunRecord.model_validate_json(job.folder().record.read_bytes())
    assert (record.status, record.steps_done) == ("failed", 3)
    monkeypatch.undo()
    assert job.run().final_weights_sha256 == whole.final_weights_sha256


@pytest.mark.slow
def test_a_run_that_fails_keeps_the_checkpoint_that_is_being_written(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Flag()
    _slow(monkeypatch, go_on)

    def fail() -> None:
        go_on.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        execute(job.plan, job.inputs, job.folder(), _at(4, fail))
    assert [path.name for path in job.folder().checkpoints.iterdir()] == ["step-00000003"]
    assert job.run().status == "finished"
    assert [event.step for event in job.of_kind("resumed")] == [3]
