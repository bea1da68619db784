"""A run whose state is also at an address: another machine goes on from there, and what is not whole is never used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.stored import StoredState
from ftc.spec.storage.paths import RunFolder
from ftc.verbs import storage
from tests.e2e.conftest import Ftc, MakeProject

STEPS = 12
ADAPTER = "adapter/adapter_model.safetensors"

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PAUSE_SECONDS", 0.0)


@pytest.fixture
def machine(project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`machine("b")` is a project of the same files as on any other machine, at the same storage."""

    def make(name: str) -> Path:
        root = project(steps=STEPS, name=name)
        recipe = root / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("evaluate_every: 6", "evaluate_every: 3"))
        (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nstorage: file://{tmp_path}/store/site\n")
        return root

    return make


def _place(tmp_path: Path) -> Path:
    (place,) = (tmp_path / "store" / "site" / "tiny").iterdir()
    return place


def _states(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in _place(tmp_path).glob("*.json"))


def _apply(root: Path, **how: Any) -> tuple[api.Run, list[Event]]:
    heard: list[Event] = []
    return api.apply(root / "recipe.yaml", on_event=heard.append, **how), heard


def _said(heard: list[Event], code: str) -> list[str]:
    return [event.text for event in heard if event.kind == "noticed" and event.code == code]


def _resumed(heard: list[Event]) -> list[int]:
    return [event.step for event in heard if event.kind == "resumed"]


@pytest.mark.slow
def test_another_machine_goes_on_with_the_same_bits(machine: Callable[[str], Path], tmp_path: Path, ftc: Ftc) -> None:
    undisturbed, _ = _apply(machine("undisturbed"))
    wanted = (undisturbed.folder / ADAPTER).read_bytes()
    assert _states(tmp_path) == ["over-00000012.json"], "of a run that is over, its end alone stays"
    shutil.rmtree(tmp_path / "store")

    first = machine("first")
    _apply(first, until=6)
    assert _states(tmp_path)[-1] == "going-00000006.json"
    assert not list((first / ".ftc" / "outgoing").glob("[!.]*"))
    second = machine("second")
    done, heard = _apply(second)
    assert _resumed(heard) == [6]
    assert (done.folder / ADAPTER).read_bytes() == wanted
    assert [one.ended_by for one in done.record.segments] == ["paused", "finished"]
    audited = ftc("audit", done.record.id)
    assert audited.code == 0, audited.text

    third, heard = _apply(machine("third"))
    assert not [event for event in heard if event.kind == "step"], "it is over, so it comes as it is"
    assert (third.folder / ADAPTER).read_bytes() == wanted
    assert third.record == done.record

    again, heard = _apply(first)
    assert again.record == done.record, "a machine that is behind takes what others have done since"
    (aside,) = (first / ".ftc" / "replaced").glob("[!.]*")
    assert json.loads((aside / "record.json").read_text())["steps_done"] == 6, "its own state is put aside"


def _cut(objects: dict[str, Path]) -> None:
    file = objects["checkpoints/step-00000006/optimizer.safetensors"]
    file.write_bytes(file.read_bytes()[:-5])


def _swap(objects: dict[str, Path]) -> None:
    file = objects["checkpoints/step-00000006/trainable.safetensors"]
    file.write_bytes(bytes(reversed(file.read_bytes())))


def _remove(objects: dict[str, Path]) -> None:
    objects["ladder.ndjson"].unlink()


def _tear(objects: dict[str, Path]) -> None:
    (list_file,) = objects["ladder.ndjson"].parents[1].glob("going-00000006.json")
    list_file.write_text(list_file.read_text()[:100])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_cut, _swap, _remove, _tear])
def test_a_damaged_state_is_named_and_an_older_one_used(
    machine: Callable[[str], Path], tmp_path: Path, damage: Callable[[dict[str, Path]], None]
) -> None:
    _apply(machine("first"), until=6)
    place = _place(tmp_path)
    assert _states(tmp_path) == ["going-00000003.json", "going-00000006.json"]
    state = StoredState.model_validate_json((place / "going-00000006.json").read_text())
    damage({name: place / "objects" / facts.sha256 for name, facts in state.files.items()})
    root = machine("second")
    done, heard = _apply(root, until=9)
    (said,) = _said(heard, "FTC722")
    assert "damaged" in said
    assert _resumed(heard) == [3]
    assert done.record.steps_done == 9
    assert not (root / "runs" / ".fetched").exists()
    _, heard = _apply(machine("third"), until=9)
    assert not _said(heard, "FTC722"), "what was damaged was stored again"


@pytest.mark.slow
def test_runs_on_another_disk_are_brought_back(machine: Callable[[str], Path]) -> None:
    _apply(machine("first"), until=6)
    root, memory = machine("second"), Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("there is one disk")
    with tempfile.TemporaryDirectory(dir=memory) as disk:
        (root / "runs").symlink_to(disk)
        _, heard = _apply(root, until=9)
    assert not _said(heard, "FTC722")
    assert _resumed(heard) == [6]


@pytest.mark.slow
def test_who_does_not_hold_a_run_stores_nothing_of_it(machine: Callable[[str], Path], tmp_path: Path) -> None:
    root = machine("first")
    done, _ = _apply(root, until=6)
    shutil.rmtree(tmp_path / "store")
    with filelock.FileLock(RunFolder(done.folder).lock), pytest.raises(Refusal) as refused:
        _apply(root)
    assert refused.value.diagnostics[0].code == "FTC627"
    assert _states(tmp_path) == []


@pytest.mark.slow
def test_a_connection_that_breaks_costs_no_step_and_the_next_checkpoint_is_stored(
    machine: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sent = storage.Storage.keep, []

    def broken(self: storage.Storage, state: StoredState, files: dict[str, Path]) -> None:
        sent.append(state.step)
        if state.step == 3:
            raise ConnectionError("the network is unreachable")
        real(self, state, files)

    monkeypatch.setattr(storage.Storage, "keep", broken)
    done, heard = _apply(machine("first"), until=9)
    assert done.record.steps_done == 9
    (said,) = _said(heard, "FTC721")
    assert "the network is unreachable" in said
    assert _states(tmp_path)[-1] == "going-00000009.json"
    assert sent[0] == 3


@pytest.mark.slow
def test_an_upload_that_ends_half_way_is_no_state(
    machine: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks for good while step 6 is sent: files of it are there, its list is not."""
    real = storage.Storage._put

    def broken(self: storage.Storage, file: Path, facts: Any) -> None:
        if "step-00000006" in str(file) and file.name == "state.json":
            raise ConnectionError("the connection is lost")
        real(self, file, facts)

    first = machine("first")
    with monkeypatch.context() as network:
        network.setattr(storage.Storage, "_put", broken)
        with pytest.raises(Refusal) as refused:
            _apply(first, until=6)
    assert refused.value.diagnostics[0].code == "FTC720"
    assert _states(tmp_path) == ["going-00000003.json"]
    done, heard = _apply(machine("second"), until=6)
    assert _resumed(heard) == [3]
    assert done.record.steps_done == 6


@pytest.mark.slow
def test_an_end_that_could_not_be_stored_is_stored_by_the_next_apply(
    machine: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc
) -> None:
    real = storage.Storage.keep

    def broken(self: storage.Storage, state: StoredState, files: dict[str, Path]) -> None:
        if state.is_over:
            raise ConnectionError("the network is unreachable")
        real(self, state, files)

    machine("first")
    with monkeypatch.context() as network:
        network.setattr(storage.Storage, "keep", broken)
        lost = ftc("apply", "recipe.yaml", "--yes")
    assert (lost.code, "FTC720" in lost.text) == (1, True), lost.text
    assert not _states(tmp_path)[-1].startswith("over-")
    assert ftc("apply", "recipe.yaml").code == 0
    assert _states(tmp_path) == ["over-00000012.json"]
    shutil.rmtree(tmp_path / "store")
    assert ftc("apply", "recipe.yaml").code == 0, "once it is stored nothing is connected to"
    assert not (tmp_path / "store").exists()


def test_a_storage_that_cannot_be_written_is_told_before_training(
    machine: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine("first")
    (tmp_path / "store").write_text("a file in place of the folder")
    with pytest.raises(Refusal) as refused:
        _apply(root)
    (found,) = refused.value.diagnostics
    assert (found.code, f"file://{tmp_path}/store/site" in found.summary) == ("FTC720", True)
    assert not list((root / "runs").glob("*/*/record.json"))


@pytest.mark.slow
def test_two_processes_go_on_elsewhere_from_parts(project: MakeProject, tmp_path: Path) -> None:
    """The first process fetches while the other one waits, and both read their rows of what was stored in parts."""
    shared = ("--set", "budget.devices=2", "--set", "train.sharding=fsdp", "--yes")

    def apply(name: str, *words: str) -> tuple[Path, dict[str, Any]]:
        root = project("chat", steps=4, name=name)
        (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nstorage: file://{tmp_path}/store\n")
        command = [sys.executable, "-m", "ftc", "apply", "recipe.yaml", *shared, *words]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (record,) = root.glob("runs/tiny/*/record.json")
        return record.parent, json.loads(record.read_text())

    apply("first", "--until", "2")
    folder, moved = apply("second")
    assert [(one["from_step"], one["to_step"]) for one in moved["segments"]] == [(0, 2), (2, 4)]
    assert (folder / "checkpoints" / "step-00000002" / "trainable-00002-of-00002.safetensors").is_file()
    shutil.rmtree(tmp_path / "store")
    _, undisturbed = apply("undisturbed")
    assert moved["final_weights_sha256"] == undisturbed["final_weights_sha256"]
