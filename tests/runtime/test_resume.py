"""Runs that are killed, stopped or short of disk go on, and end with the same bits as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import first_difference, read_step_log
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.precisions import with_trained
from ftc.spec.schedules import SCHEDULES, schedule_card
from tests.runtime.jobs import Job, make_job, reopen_job

__all__ = ["assert_same", "in_child", "run_killed"]

_EARLY = {"metric": "val_loss", "patience": 3, "min_delta": 0.0}
_CHOSEN = {
    "strategy__freeze": ("embeddings", "layer.0.attention"),
    "strategy__head_modules": ("classifier",),
    "train__parameter_groups": ({"parameters": ("layer.1",), "learning_rate": 3e-4},),
}
"""Parameters by name: some frozen, some at a rate of their own."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the usual job has run, as `whole`."""
    root = tmp_path_factory.mktemp("undisturbed")
    make_job(root).run("whole")
    return root


@pytest.fixture
def job(undisturbed: Path, tmp_path: Path) -> Job:
    """A copy of the usual job, with the run that nothing disturbed."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    return reopen_job(tmp_path)


@pytest.fixture
def whole(job: Job) -> RunRecord:
    """The record of that run."""
    return RunRecord.model_validate_json(job.folder("whole").record.read_bytes())


class _Kill:
    """A listener that ends the process, as a power cut would, when an event of a kind comes for the n-th time."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.left = kind, number

    def __call__(self, event: Event) -> None:
        if event.kind == self.kind:
            self.left -= 1
            if self.left == 0:
                os._exit(9)


def in_child(work: Callable[[], object]) -> int:
    """Does work in a forked process; returns its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer pythons warn of forks with threads about
        pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must never reach the parent's code
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_killed(job: Job, name: str, kind: str, number: int) -> None:
    """Runs a job in a process that ends when an event of a kind comes for the n-th time."""
    from ftc.runtime.execution.execute import execute

    listener = _Kill(kind, number)
    assert in_child(lambda: execute(job.plan, job.inputs, job.folder(name), listener)) == 9


def _losses(job: Job, name: str) -> dict[int, str]:
    """Loss by step; what was done again after a kill counts in its last version."""
    lines = job.folder(name).events.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return {event["step"]: event["loss"] for event in events if event["kind"] == "step"}


def assert_same(job: Job, name: str, expected: RunRecord) -> None:
    """Goes on with a run, which ends as `whole` did, whose record is expected."""
    record = job.run(name)
    assert record.status == "finished"
    assert record.final_weights_sha256 == expected.final_weights_sha256
    assert record.selected_step == expected.selected_step
    assert record.supervised_tokens == expected.supervised_tokens
    assert _losses(job, name) == _losses(job, "whole")
    logs = [read_step_log(job.folder(run).step_log) for run in (name, "whole")]
    assert first_difference(logs[0], logs[1], 0, 12) is None
    assert logs[0].steps == logs[1].steps
    assert logs[0].checksums.keys() >= logs[1].checksums.keys()
    metrics = [json.loads(job.folder(run).evaluation.read_bytes())["tuned"]["metrics"] for run in (name, "whole")]
    assert metrics[0] == metrics[1]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("kind", "strategy", "classes", "changes"),
    [("llama", "lora", 0, {}), ("bert", "full", 3, {}), ("bert", "full", 3, _CHOSEN)],
    ids=["adapter", "whole", "chosen"],
)
def test_killed_and_resumed_gives_the_same_bits(
    tmp_path: Path, kind: str, strategy: str, classes: int, changes: dict[str, Any]
) -> None:
    job = make_job(tmp_path, kind, strategy, classes=classes, train__early_stopping=_EARLY, **changes)
    whole = job.run("whole")
    moments = [("step", 2), ("step", 5), ("evaluated", 2), ("checkpoint", 3), ("step", 12), ("test_progress", 4)]
    if os.environ.get("FTC_CRASH") != "1":
        moments = moments[kind == "bert" :: 2]
    for number, (event, count) in enumerate(moments):
        name = f"killed-{number}"
        run_killed(job, name, event, count)
        assert_same(job, name, whole)
        assert len(job.run(name).segments) == 2


def _pairs() -> list[Any]:
    """Each optimizer that a CPU has with a schedule that it goes with, and each schedule at least once."""
    optimizers = [card for card in OPTIMIZERS if not card.paged]
    pairs = []
    for number in range(max(len(optimizers), len(SCHEDULES))):
        optimizer, schedule = optimizers[number % len(optimizers)], SCHEDULES[number % len(SCHEDULES)].kind
        if optimizer.schedules is not None and schedule not in optimizer.schedules:
            pairs.append((optimizer, optimizer.schedules[0]))
            optimizer = optimizers[0]
        pairs.append((optimizer, schedule))
    return [pytest.param(card, schedule, id=f"{card.kind}-{schedule}") for card, schedule in pairs]


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "schedule"), _pairs())
def test_every_optimizer_and_schedule_goes_on(tmp_path: Path, optimizer: OptimizerCard, schedule: str) -> None:
    pytest.importorskip(optimizer.package.removeprefix("torch-"))
    card = schedule_card(schedule)
    values = {usual.name: usual.value for usual in optimizer.usual}
    rule = {"beta1": 0.9, "epsilon": 1e-8, "momentum": 0.9, "weight_decay": 0.01, **values, "kind": optimizer.kind}
    shape = {"kind": schedule, "warmup_steps": 2, "decay_steps": 6, "patience": 0, "factor": 0.5}
    # So small a rate changes weights and no loss: validation is never better than before, on any CPU.
    rate = 1e-30 if card.watches_validation else 0.01
    changes: dict[str, Any] = {"optimizer": rule, "schedule": shape, "fused": optimizer.fused, "learning_rate": rate}
    precision = with_trained(optimizer.weights, "float32")
    changes["precision"] = precision.kind
    strategy = "lora" if precision.auto is not None else "full"  # an adapter has no weights in 16 bits
    job = make_job(tmp_path, strategy=strategy, **{f"train__{name}": value for name, value in changes.items()})
    whole = job.run("whole")
    rates = [event.learning_rate for event in job.of_kind("step")]
    if card.watches_validation:
        assert len({event.metrics["val_loss"] for event in job.of_kind("evaluated")}) == 1
        assert rates[-1] == rate * 0.5**2, "lowered behind each look but the first and the last"
    assert (len(set(rates[2:])) > 1) is (schedule != "constant")
    run_killed(job, "killed", "step", 8)
    assert_same(job, "killed", whole)


@pytest.mark.slow
def test_killed_twice(job: Job, whole: RunRecord) -> None:
    run_killed(job, "run", "step", 7)
    run_killed(job, "run", "checkpoint", 1)
    assert_same(job, "run", whole)
    if sys.platform == "linux":
        seen = {one.phase: one.peak_bytes for one in job.run("run").memory_by_phase}
        assert seen.keys() - {one.phase for one in whole.memory_by_phase} == {"resume"}
        assert min(seen.values()) > 0


@pytest.mark.slow
def test_a_full_disk_leaves_older_checkpoints_intact(
    job: Job, whole: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.runtime.artifacts import saving, tensor_files

    real, saves = tensor_files.write_tensors, iter(range(1, 100))

    def full(*args: Any, **kwargs: Any) -> Any:
        if next(saves) == 4:  # the second file of the second checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(saving, "write_tensors", full)
    with pytest.raises(Refusal, match="FTC647: could not write the run: No space left"):
        job.run("run")
    monkeypatch.undo()
    assert [path.name for path in job.folder("run").checkpoints.iterdir()] == ["step-00000003"]
    assert RunRecord.model_validate_json(job.folder("run").record.read_bytes()).status == "failed"
    assert_same(job, "run", whole)


@pytest.mark.slow
def test_a_limit_on_file_sizes_is_told_and_the_run_goes_on_without_it(job: Job, whole: RunRecord) -> None:
    """The kernel itself refuses, in the middle of a checkpoint's largest file."""
    limit = max(file.stat().st_size for file in job.folder("whole").path.rglob("optimizer.safetensors")) - 100

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            job.run("run")
        except Refusal as refusal:
            os._exit(40 if refusal.diagnostics[0].code == "FTC647" else 41)

    assert in_child(work) == 40
    assert not list(job.folder("run").path.rglob(".tmp-*"))
    assert_same(job, "run", whole)


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_loaded(job: Job) -> None:
    job.root = Path("/proc")  # no right of any user makes a folder there
    with pytest.raises(Refusal) as refusal:
        job.run("run")
    assert refusal.value.diagnostics[0].code == "FTC648"
    assert job.events == []


class TestDamage:
    @pytest.mark.sample(1)
    @pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "empty folder", "torn manifest"])
    def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
        self, job: Job, whole: RunRecord, damage: str
    ) -> None:
        run_killed(job, "run", "checkpoint", 2)
        newest = job.folder("run").checkpoints / "step-00000006"
        weights = newest / "trainable.safetensors"
        match damage:
            case "truncate":
                os.truncate(weights, 100)
            case "flip":
                content = bytearray(weights.read_bytes())
                content[-3] ^= 4
                weights.write_bytes(content)
            case "no manifest":
                (newest / "MANIFEST.json").unlink()
            case "empty folder":
                for path in newest.iterdir():
                    path.unlink()
            case "torn manifest":
                os.truncate(newest / "MANIFEST.json", 30)
        assert_same(job, "run", whole)
        assert [event.code for event in job.of_kind("noticed")] == ["FTC629"]
        assert [event.step for event in job.of_kind("resumed")] == [3]

    @pytest.mark.slow
    def test_a_checkpoint_under_the_name_of_another_step_does_not_count(self, job: Job, whole: RunRecord) -> None:
        run_killed(job, "run", "checkpoint", 2)
        first, second = (job.folder("run").checkpoints / f"step-{step:08d}" for step in (3, 6))
        shutil.rmtree(second)
        shutil.copytree(first, second)
        assert_same(job, "run", whole)
        assert [event.code for event in job.of_kind("noticed")] == ["FTC629"]
        assert [event.step for event in job.of_kind("resumed")] == [3]

    @pytest.mark.slow
    def test_files_of_two_checkpoints_that_changed_places_do_not_count(self, job: Job, whole: RunRecord) -> None:
        run_killed(job, "run", "checkpoint", 2)
        files = [job.folder("run").checkpoints / f"step-{step:08d}" / "optimizer.safetensors" for step in (3, 6)]
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, reversed(contents), strict=True):
            file.write_bytes(content)
        assert_same(job, "run", whole)
        assert job.of_kind("resumed") == [], "neither is as it was, so it starts over"

    @pytest.mark.slow
    def test_leftovers_are_swept_and_a_torn_line_is_cut_off(self, job: Job, whole: RunRecord) -> None:
        run_killed(job, "run", "checkpoint", 1)
        folder = job.folder("run")
        (folder.checkpoints / ".tmp-step-00000006").mkdir()
        (folder.path / ".tmp-record.json").write_text("{")
        with folder.events.open("a") as file:
            file.write('{"kind": "st')
        with folder.step_log.open("a") as file:
            file.write('{"kind": "ru')
        assert_same(job, "run", whole)
        assert not list(folder.path.rglob(".tmp-*"))

    @pytest.mark.slow
    def test_changed_weights_of_the_result_are_written_anew(self, job: Job, whole: RunRecord) -> None:
        run_killed(job, "run", "test_progress", 1)
        (job.folder("run").adapter / "adapter_model.safetensors").write_bytes(b"other")
        assert_same(job, "run", whole)


@pytest.mark.sample(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_saves(job: Job, whole: RunRecord, number: int) -> None:
    from ftc.runtime.execution.execute import execute

    told = []

    def interrupt(event: Event) -> None:
        told.append(event.kind)
        if event.kind == "step" and event.step == 5:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    record = execute(job.plan, job.inputs, job.folder("run"), interrupt)
    assert signal.getsignal(number) is before
    assert told.index("stop_requested") < told.index("checkpoint", told.index("stop_requested"))
    assert "stop_requested" not in job.folder("run").events.read_text()
    assert (record.status, record.steps_done, record.segments[-1].ended_by) == ("interrupted", 5, "interrupted")
    assert (job.folder("run").checkpoints / "step-00000005" / "MANIFEST.json").is_file()
    assert_same(job, "run", whole)


@pytest.mark.slow
def test_a_signal_while_measuring_loses_only_the_measurement(job: Job, whole: RunRecord) -> None:
    from ftc.runtime.execution.execute import execute

    def interrupt(event: Event) -> None:
        if event.kind == "test_progress" and event.subject == "tuned":
            os.kill(os.getpid(), signal.SIGTERM)

    assert execute(job.plan, job.inputs, job.folder("run"), interrupt).status == "interrupted"
    assert_same(job, "run", whole)
    assert job.of_kind("step") == []


def test_a_second_signal_stops_at_once(job: Job) -> None:
    from ftc.runtime.execution.execute import execute

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("run"), interrupt)
    assert RunRecord.model_validate_json(job.folder("run").record.read_bytes()).status == "interrupted"


@pytest.mark.slow
def test_sigkill_from_outside_in_a_fresh_process(job: Job, whole: RunRecord, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.child", str(tmp_path), "run"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["kind"] == "step" and event["step"] == 8:
                with pytest.raises(Refusal, match="FTC627"):
                    job.run("run")
                child.kill()
                break
    assert child.returncode == -signal.SIGKILL
    assert_same(job, "run", whole)
