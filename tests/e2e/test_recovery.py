"""What a plan says of an unfinished run, and runs whose own documents can't be read any longer."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ftc, MakeProject

STEPS = 9
ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def stopped(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that was interrupted behind step 7, and the adapter of one that nothing disturbed."""
    from ftc import api
    from ftc.runtime.training import hooks
    from tests.support.projects import make_project

    folder = tmp_path_factory.mktemp("stopped")
    root = make_project(folder / "project", models, "classification", steps=STEPS)

    def strike(_training: hooks.Training, done: object) -> None:
        if getattr(done, "step", 0) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        patch.chdir(root)
        whole = api.apply(root / "recipe.yaml")
        shutil.copy(whole.folder / ADAPTER, folder / "whole")
        shutil.rmtree(root / "runs")
        shutil.rmtree(root / ".ftc")
        patch.setattr("ftc.runtime.training.train.HOOKS", (strike, *hooks.HOOKS))
        assert api.apply(root / "recipe.yaml").record.status == "interrupted"
    return folder


@pytest.fixture
def root(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project to work in."""
    shutil.copytree(stopped, tmp_path / "copy")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.chdir(tmp_path / "copy" / "project")
    return tmp_path / "copy" / "project"


def run_folder(root: Path) -> Path:
    (folder,) = (one.parent for one in root.glob("runs/*/*/checkpoints"))
    return folder


def newest_checkpoint(root: Path) -> Path:
    return max((run_folder(root) / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_a_plan_says_the_step_that_the_run_continues_from(root: Path, ftc: Ftc) -> None:
    newest = int(newest_checkpoint(root).name.removeprefix("step-"))
    told = ftc("plan", "recipe.yaml")
    assert f"continues from step {newest} of" in told.text
    weights = newest_checkpoint(root) / "trainable.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    before = sorted((run_folder(root) / "checkpoints").glob("step-*"))[-2].name.removeprefix("step-")
    assert f"continues from step {int(before)} of" in ftc("plan", "recipe.yaml").text


def test_a_run_whose_record_still_says_running_was_left(root: Path, ftc: Ftc) -> None:
    from ftc.spec.documents.record import RunRecord

    file = run_folder(root) / "record.json"
    record = RunRecord.model_validate_json(file.read_bytes())
    file.write_text(record.model_copy(update={"status": "running"}).sealed().to_text())
    told = ftc("plan", "recipe.yaml").text
    assert "is interrupted (its process ended without writing why: it was killed, or the machine stopped)" in told
    assert "is running" not in told
    for words in (("show", record.id), ("run", "list")):
        assert "interrupted" in ftc(*words).text
    listed = json.loads(ftc("run", "list", "--json").out)
    assert listed[0]["left"].startswith("its process ended without writing why")


@pytest.mark.slow
def test_a_folder_beside_the_checkpoints_is_none(root: Path, ftc: Ftc) -> None:
    """Such as a file manager makes of one that somebody copies."""
    newest = newest_checkpoint(root)
    shutil.copytree(newest, newest.with_name(f"{newest.name} (copy)"))
    shutil.copytree(newest, newest.with_name("step-9x"))
    assert f"continues from step {int(newest.name.removeprefix('step-'))} of" in ftc("plan", "recipe.yaml").text
    done = ftc("apply", "recipe.yaml", "--yes")
    assert done.code == 0, done.text
    audited = ftc("audit", run_folder(root).name)
    assert (audited.code, "bug in ftc" in audited.text) == (0, False), audited.text


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def reworded(file: Path) -> None:
    """A record that can be read, in which somebody changed a figure."""
    plain = json.loads(file.read_bytes())
    plain["tokens"] += 5
    file.write_text(json.dumps(plain))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "torn record": lambda folder: torn(folder / "record.json"),
    "empty plan": lambda folder: (folder / "plan.json").write_bytes(b""),
    "both": lambda folder: [torn(folder / name) for name in ("record.json", "plan.json")],
    "record with another checksum": lambda folder: reworded(folder / "record.json"),
    "no plan": lambda folder: (folder / "plan.json").unlink(),
}


@pytest.mark.sample(1)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_whose_documents_are_damaged_keeps_its_checkpoints(root: Path, ftc: Ftc, damage: str) -> None:
    folder, newest = run_folder(root), int(newest_checkpoint(root).name.removeprefix("step-"))
    DAMAGES[damage](folder)
    told = ftc("plan", "recipe.yaml")
    assert f"continues from step {newest} of" in told.text, told.text
    done = ftc("apply", "recipe.yaml", "--yes")
    assert done.code == 0, done.text
    assert "FTC656" in done.text
    record = json.loads((folder / "record.json").read_bytes())
    assert record["status"] == "finished"
    assert record["segments"][-1]["from_step"] == newest
    assert len(record["segments"]) == 2
    assert "recovered" in [one["kind"] for one in record["interruptions"]]
    assert (folder / ADAPTER).read_bytes() == (root.parent / "whole").read_bytes()
    audited = ftc("audit", folder.name)
    assert audited.code == 0, audited.text


def test_a_folder_that_nothing_proves_to_be_the_runs_is_left_alone(root: Path, ftc: Ftc) -> None:
    folder = run_folder(root)
    shutil.rmtree(folder / "checkpoints")
    (root / ".ftc" / "ledger.ndjson").unlink()
    (folder / "plan.json").write_bytes(b"{")
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = ftc("apply", "recipe.yaml", "--yes")
    assert (done.code, "FTC628" in done.text) == (6, True), done.text
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in kept} == kept


@pytest.mark.slow
def test_a_saved_plan_that_has_run_says_that_its_recipe_changed(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=2)
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    assert ftc("apply", "job.plan.json").code == 0
    again = ftc("apply", "job.plan.json")
    assert (again.code, "has changed since" in again.text) == (0, False)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("batch_size: 8", "batch_size: 4"))
    changed = ftc("apply", "job.plan.json")
    assert changed.code == 0
    assert "`recipe.yaml` has changed since it was planned: train.batch_size: 8 → 4" in changed.text
