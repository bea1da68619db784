"""What the folders of a project's runs tell."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.sweep import Sweep
from ftc.spec.storage.paths import SWEEP_JOURNAL, sweeps_folder
from ftc.verbs.predict import usable_inputs
from ftc.verbs.runs import Run, bring_base, find_run, newest_run, past_runs, runs, unreadable_runs
from tests.support.contests import answered_run
from tests.support.tracked_runs import make_run


def test_folders_without_a_record_crowd_out_no_earlier_run(tmp_path: Path) -> None:
    os.utime(answered_run(tmp_path, "a1", 1), (0, 0))
    for number in range(30):
        (tmp_path / "runs" / "demo" / f"unfinished-{number}").mkdir()
    assert [one.model for one in past_runs(tmp_path)] == [run.plan.model.name for run in runs(tmp_path)] != []


def test_a_recipes_name_means_its_newest_run_unless_it_is_a_runs_own(tmp_path: Path) -> None:
    for name, at in (("a1", "2026-01-02T00:00:00+00:00"), ("b2", "2026-01-03T00:00:00+00:00"), ("c3", "2025-12-31")):
        file = answered_run(tmp_path, name, 1) / "record.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        began = [{**one, "started_at": at} for one in record["segments"]]
        assert began
        file.write_text(json.dumps({**record, "segments": began}), encoding="utf-8")
    assert find_run("demo", tmp_path).folder.name == "b2"
    assert find_run("a", tmp_path).folder.name == "a1"
    (answered_run(tmp_path, "d4", 1) / "plan.json").write_text("{")
    assert find_run("demo", tmp_path).folder.name == "b2", "one that can't be read hides no other"
    answered_run(tmp_path, "demo", 1)
    assert find_run("demo", tmp_path).folder.name == "demo"


def made(root: Path, name: str, day: int, status: str, *overrides: str, is_trained: bool = True) -> None:
    """A run that began on a day of a month."""
    folder = answered_run(root, name, 1)
    both: dict[str, dict[str, Any]] = {"record": {"status": status}, "plan": {"overrides": overrides}}
    if not is_trained:
        both["record"]["final_weights_sha256"] = None
    for file, changes in both.items():
        document = json.loads((folder / f"{file}.json").read_text(encoding="utf-8"))
        if file == "record":
            changes["segments"] = [{**one, "started_at": f"2026-01-0{day}"} for one in document["segments"]]
        (folder / f"{file}.json").write_text(json.dumps({**document, **changes}), encoding="utf-8")


def test_a_recipes_name_means_a_trial_of_a_sweep_only_where_there_is_no_other_run(tmp_path: Path) -> None:
    made(tmp_path, "b1", 5, "paused", "train.learning_rate=1e-3")
    made(tmp_path, "b2", 6, "pruned", "train.learning_rate=1e-4")
    assert find_run("demo", tmp_path).folder.name == "b2"
    made(tmp_path, "a1", 2, "paused")
    assert find_run("demo", tmp_path).folder.name == "a1", "the recipe's own values"
    made(tmp_path, "a2", 3, "finished", "train.learning_rate=1e-2")
    assert find_run("demo", tmp_path).folder.name == "a2", "a trial that was picked"
    made(tmp_path, "a3", 4, "running", "train.learning_rate=1e-1")
    assert find_run("demo", tmp_path).folder.name == "a3"
    assert newest_run(tmp_path).folder.name == "b2", "whatever its recipe, and however it ended"


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_a_trial_that_a_sweep_notes_is_none_of_the_recipes_own_runs_however_it_ended(
    tmp_path: Path, status: str
) -> None:
    pytest.importorskip("optuna")
    from ftc.sweep.study import Study

    rate = "train.learning_rate"
    sweep = Sweep.model_validate({"ftc_sweep": 1, "recipe": "demo.yaml", "space": {rate: {"log": (1e-4, 1e-2)}}})
    study = Study(sweep, sweeps_folder(tmp_path) / "rates")
    study.note(study.ask().number, runs=["b1"])
    made(tmp_path, "b1", 9, status, f"{rate}=1e-3", is_trained=False)
    assert find_run("demo", tmp_path).folder.name == "b1", "it has no other"
    made(tmp_path, "a1", 2, "finished")
    assert find_run("demo", tmp_path).folder.name == "a1"
    made(tmp_path, "a2", 3, status, f"{rate}=1e-2", is_trained=False)
    assert find_run("demo", tmp_path).folder.name == "a2", "a variation that no sweep tried"
    study.note(study.ask().number, runs=["a3"])
    made(tmp_path, "a3", 4, status, f"{rate}=1e-1")
    assert find_run("demo", tmp_path).folder.name == "a3", "a trial that was picked, and is past its training"
    with (sweeps_folder(tmp_path) / "rates" / SWEEP_JOURNAL).open("ab") as journal:
        journal.write(b'{"user_attr": {"runs": 7}}\n["runs"]\n{"runs')
    assert find_run("demo", tmp_path).folder.name == "a3"


def test_a_run_that_was_not_read_is_named(tmp_path: Path) -> None:
    answered_run(tmp_path, "good", 1)
    (answered_run(tmp_path, "bad", 1) / "plan.json").write_text("{")
    assert unreadable_runs(runs(tmp_path), tmp_path) == ("bad",)


def test_of_repetitions_that_began_in_one_second_the_last_is_the_newest(tmp_path: Path) -> None:
    repetitions = ["a1", "a1-2", "a1-10"]
    for name in repetitions:
        answered_run(tmp_path, name, 1)
    assert [run.folder.name for run in runs(tmp_path)] == repetitions[::-1]
    assert newest_run(tmp_path).folder.name == find_run("demo", tmp_path).folder.name == "a1-10"


def test_a_base_model_that_is_gone_is_named_with_the_places_that_were_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, shelf = make_run(tmp_path / "project"), tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("FTC_MODEL_PATHS", str(shelf))
    base = run.plan.settings.model.base
    local = replace(run, plan=run.plan.model_copy(update={"lock": _at_commit(run, None)}))
    with pytest.raises(Refusal) as refused:
        usable_inputs(local)
    (found,) = refused.value.diagnostics
    assert found.code == "FTC687"
    assert f"{(run.root / run.plan.recipe_file).parent / base}, {shelf / base}" in found.notes[0]
    on_hub = replace(run, plan=run.plan.model_copy(update={"lock": _at_commit(run, "c" * 40)}))
    with pytest.raises(Refusal) as refused:
        usable_inputs(on_hub)
    (found,) = refused.value.diagnostics
    assert f"{constants.HF_HUB_CACHE}, has no complete commit {'c' * 40}" in found.notes[0]
    assert found.help == (bring_base(on_hub),)
    assert "fetches it" in found.help[0]


def _at_commit(run: Run, commit: str | None) -> Lock:
    lock = run.plan.lock
    return lock.model_copy(update={"model": lock.model.model_copy(update={"commit": commit})})
