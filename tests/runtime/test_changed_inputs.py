"""Inputs that change under a run: no checkpoint rests on them, and the record keeps what happened."""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc.runtime.artifacts.tensor_files import read_tensors, write_tensors
from ftc.runtime.execution.execute import execute
from ftc.runtime.execution.last_words import LastWords, last_words
from ftc.spec.canonical import file_digest, to_text
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import read_step_log
from tests.runtime.jobs import Job, changed
from tests.runtime.test_faults import assert_goes_on, at
from tests.runtime.test_resume import in_child


def flip(file: Path) -> None:
    """One bit in place, with the old time of modification."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 64]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    flip(other)
    other.replace(file)


def append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b" ")


def restore(file: Path, content: bytes) -> None:
    """As `cp` does: in place."""
    with file.open("r+b") as stream:
        stream.truncate(len(content))
        stream.write(content)


CHANGES: dict[str, Callable[[Path], None]] = {"bit flipped": flip, "replaced": swap, "appended": append}


@pytest.mark.sample(1)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["model", "streams"])
def test_no_checkpoint_rests_on_changed_inputs(job: Job, name: str, change: str, which: str) -> None:
    model, streams = job.inputs.model_folder, job.inputs.streams_folder
    file = model / "model.safetensors" if which == "model" else streams / "train.arrow"
    content = file.read_bytes()
    try:
        strike = at("step", lambda: CHANGES[change](file), step=4)
        with pytest.raises(Refusal, match="FTC515") as caught:
            execute(job.plan, job.inputs, job.folder(name), strike)
        assert caught.value.exit_code == 6
    finally:
        restore(file, content)
    folder = job.folder(name)
    assert [one.name for one in folder.checkpoints.iterdir()] == ["step-00000003"]
    record = RunRecord.model_validate_json(folder.record.read_bytes())
    assert (record.status, record.proved_step) == ("failed", 3)
    assert_goes_on(job, name)
    assert [event.step for event in job.of_kind("resumed")] == [3]
    record = RunRecord.model_validate_json(folder.record.read_bytes())
    (stop,) = record.interruptions
    assert (stop.kind, stop.code, stop.usable_step) == ("failed", "FTC515", 3)
    assert "changed after it was verified" in stop.reason
    assert record.proved_step == 12
    assert "files at each checkpoint" in record.proved_by


def test_a_change_before_the_first_checkpoint_begins_the_run_anew(job: Job, name: str) -> None:
    file = job.inputs.model_folder / "model.safetensors"
    content = file.read_bytes()
    try:
        with pytest.raises(Refusal, match="FTC515"):
            execute(job.plan, job.inputs, job.folder(name), at("step", lambda: flip(file), step=1))
    finally:
        restore(file, content)
    assert_goes_on(job, name)
    assert job.of_kind("resumed") == []


def test_checkpoints_that_no_proof_covers_are_not_continued(
    job: Job, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where stamps prove nothing and hashing is too dear, a proof covers what lies before it."""
    from ftc.runtime.execution.file_stamps import FileStamps

    file, real = job.inputs.model_folder / "model.safetensors", FileStamps.confirm
    content = file.read_bytes()

    def dear(stamps: FileStamps, training_seconds: float | None = None) -> bool:
        return False if training_seconds is not None else real(stamps)

    monkeypatch.setattr(FileStamps, "confirm", dear)
    try:
        with pytest.raises(Refusal, match="FTC515"):
            execute(job.plan, job.inputs, job.folder(name), at("step", lambda: flip(file), step=8))
    finally:
        restore(file, content)
    monkeypatch.undo()
    assert list(job.folder(name).checkpoints.iterdir()), "they were written before anybody could know"
    assert_goes_on(job, name)
    assert job.of_kind("resumed") == []


@pytest.mark.slow
def test_inputs_that_were_touched_cost_the_steps_since_the_last_proof(job: Job, name: str) -> None:
    """Bytes that changed and came back can't be told from a new link, so both are done again at once."""
    file = job.inputs.model_folder / "model.safetensors"
    content = file.read_bytes()

    def change_and_put_back() -> None:
        flip(file)
        restore(file, content)

    record = execute(job.plan, job.inputs, job.folder(name), at("step", change_and_put_back, step=4))
    assert record.status == "finished"
    assert [(stop.kind, stop.usable_step) for stop in record.interruptions] == [("redone", 3)]
    assert '"FTC654"' in job.folder(name).events.read_text(encoding="utf-8"), "and the log says so"
    whole = RunRecord.model_validate_json(job.folder("whole").record.read_bytes())
    assert record.final_weights_sha256 == whole.final_weights_sha256
    assert read_step_log(job.folder(name).step_log).steps == read_step_log(job.folder("whole").step_log).steps


@pytest.mark.slow
def test_a_file_that_is_cut_off_under_the_run(job: Job, name: str) -> None:
    """The kernel may end a process that reads mapped pages which are gone; what was saved before is continued."""
    file = job.inputs.model_folder / "model.safetensors"
    content = file.read_bytes()
    try:
        cut = at("step", lambda: os.truncate(file, 100), step=4)

        def work() -> None:
            faulthandler.disable()  # it would print the stack of a death that is expected
            execute(job.plan, job.inputs, job.folder(name), cut)

        assert in_child(work) != 0
        words = wait_for_last_words(job, name)
    finally:
        restore(file, content)
    assert_goes_on(job, name)
    assert [event.step for event in job.of_kind("resumed")] == [3]
    (stop,) = RunRecord.model_validate_json(job.folder(name).record.read_bytes()).interruptions
    assert stop.kind in ("lost", "failed")
    if words is not None:
        assert (stop.kind, stop.code, stop.usable_step) == ("lost", "FTC515", 3)
        assert stop.reason == words.reason
        assert "ended by a bus error" in words.reason
        assert f"of the model changed meanwhile: it has 100 bytes, and had {len(content):,}" in words.reason


@pytest.mark.slow
def test_a_run_that_was_killed_says_so_afterwards(job: Job, name: str) -> None:
    def work() -> None:
        execute(job.plan, job.inputs, job.folder(name), at("step", lambda: os.kill(os.getpid(), 9), step=4))

    assert in_child(work) != 0
    words = wait_for_last_words(job, name)
    assert words is not None
    assert (words.code, words.segment) == ("FTC606", 1)
    assert "the run's process was killed" in words.reason
    assert_goes_on(job, name)
    (stop,) = RunRecord.model_validate_json(job.folder(name).record.read_bytes()).interruptions
    assert (stop.kind, stop.code, stop.reason) == ("lost", "FTC606", words.reason)
    left = [one.name for one in job.folder(name).path.iterdir() if one.name.startswith(".")]
    assert left == [".lock"]


def wait_for_last_words(job: Job, name: str) -> LastWords | None:
    """What the process beside the run says of its end; None where the record says itself that the run failed."""
    folder = job.folder(name)
    if RunRecord.model_validate_json(folder.record.read_bytes()).status != "running":
        return None
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if words := last_words(folder, 1):
            return words
        time.sleep(0.02)
    pytest.fail("nobody saw how the run's process ended")


@pytest.mark.sample(1)
@pytest.mark.parametrize("forged", ["trainable.safetensors", "optimizer.safetensors", "state.json"])
def test_a_checkpoint_that_contradicts_the_step_log_is_not_continued(job: Job, name: str, forged: str) -> None:
    """Its manifest is right, as a forger would write it; the step log has the digest of each tensor."""
    stop = at("step", lambda: os.kill(os.getpid(), 15), step=7)
    assert execute(job.plan, job.inputs, job.folder(name), stop).steps_done == 7
    folder = job.folder(name).checkpoints / "step-00000007"
    if forged == "state.json":
        state = json.loads((folder / forged).read_bytes())
        state["progress"]["selection"]["best_step"] = 7
        (folder / forged).write_text(to_text(state))
    else:
        tensors = {name: one.clone() for name, one in read_tensors(folder / forged).items()}
        first = min(tensors)
        tensors[first].view(-1)[0] += 1
        write_tensors(folder / forged, tensors, {})
    manifest = json.loads((folder / "MANIFEST.json").read_bytes())
    facts = {"size": (folder / forged).stat().st_size, "sha256": file_digest(folder / forged)}
    manifest["files"][forged] = facts
    (folder / "MANIFEST.json").write_text(to_text(manifest))
    assert_goes_on(job, name)
    (noticed,) = job.of_kind("noticed")
    assert noticed.code == "FTC629"
    assert "step log" in noticed.text
    assert [event.step for event in job.of_kind("resumed")] == [6]


@pytest.mark.sample(1)
@pytest.mark.parametrize("brought", ["checkpoint", "checkpoint with this job's name", "step log too"])
def test_a_checkpoint_of_another_run_is_not_continued(job: Job, name: str, brought: str) -> None:
    """Of a run with other seeds, as another machine's bits would be: put into an interrupted run's folder."""
    other = Job(changed(job.plan, {"seeds.order": 5, "seeds.init": 6}), job.inputs, job.root)
    for plan, folder in ((other.plan, f"{name}-other"), (job.plan, name)):
        stop = at("step", lambda: os.kill(os.getpid(), 15), step=7)
        assert execute(plan, job.inputs, job.folder(folder), stop).steps_done == 7
    ours, theirs = job.folder(name), job.folder(f"{name}-other")
    shutil.rmtree(ours.checkpoints)
    shutil.copytree(theirs.checkpoints, ours.checkpoints)
    for checkpoint in ours.checkpoints.iterdir() if brought != "checkpoint" else ():
        claim(checkpoint, job)
    if brought == "step log too":
        shutil.copy2(theirs.step_log, ours.step_log)
    assert_goes_on(job, name)
    reasons = {event.text for event in job.of_kind("noticed")}
    assert reasons, "it is said which checkpoints are not used"
    wanted = {"checkpoint": "it belongs to job", "step log too": "the step log has no step 1 of this run"}
    assert all(wanted.get(brought, "is not the one of the step log") in reason for reason in reasons), reasons
    assert job.of_kind("resumed") == []


def claim(folder: Path, job: Job) -> None:
    """A checkpoint says that it is of a job, and its manifest agrees."""
    state = json.loads((folder / "state.json").read_bytes()) | {"job_sha256": job.plan.job_sha256()}
    (folder / "state.json").write_text(to_text(state))
    manifest = json.loads((folder / "MANIFEST.json").read_bytes())
    file = folder / "state.json"
    manifest["files"]["state.json"] = {"size": file.stat().st_size, "sha256": file_digest(file)}
    (folder / "MANIFEST.json").write_text(to_text(manifest))
