"""The state of a project: what was run, who holds a run, and what a saved plan rests on."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.documents.ledger import Begun, append_entry, broken_links, read_ledger
from ftc.spec.documents.machine import Holder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents

PLAN = "job.plan.json"


@pytest.fixture
def done(project: MakeProject, ftc: Ftc) -> Path:
    """A project in which a saved plan was run."""
    root = project(steps=1)
    assert ftc("plan", "recipe.yaml", "-o", PLAN).code == 0
    applied = ftc("apply", PLAN)
    assert applied.code == 0, applied.err
    return root


def test_what_a_run_leaves_in_the_ledger(done: Path, ftc: Ftc) -> None:
    (run,) = api.runs(done)
    entries = read_ledger(done)
    kinds = ["opened", "run_begun", "test_look", "test_look", "run_ended", "pages_written"]
    assert [one.kind for one in entries] == kinds
    assert entries[-2].to_json()["record_sha256"] == run.record.sha256
    assert broken_links(done) == ()
    assert (run.folder / "recipe.yaml").read_bytes() == (done / "recipe.yaml").read_bytes()
    assert (run.folder / "recipe.lock.json").read_bytes() == (done / "recipe.lock.json").read_bytes()
    assert {"recipe.yaml", "recipe.lock.json"} <= run.record.outputs.keys()
    shown = ftc("show", run.record.id)
    assert "evaluated twice: base once, tuned once" in shown.text
    assert json.loads(ftc("show", run.record.id, "--json").out)["test_looks"] == ["evaluate base", "evaluate tuned"]


def test_a_finished_plan_applied_again_changes_nothing(done: Path, ftc: Ftc) -> None:
    before = contents(done)
    again = ftc("apply", PLAN)
    assert (again.code, "up to date" in again.text) == (0, True)
    assert contents(done) == before


def test_a_run_of_another_job_makes_a_plan_stale(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    assert ftc("plan", "recipe.yaml", "-o", PLAN).code == 0
    digests = {"job_sha256": "a1" * 32, "plan_sha256": "b2" * 32}
    append_entry(root, Begun, name="other", run_id="a1a1", **digests)
    append_entry(root, Begun, name="tiny", run_id="a1a1", **digests)
    before = contents(root)
    refused = ftc("apply", PLAN)
    assert (refused.code, "[FTC512]" in refused.err) == (5, True)
    assert "state.serial: no run → 2, run a1a1 began at" in refused.text
    assert contents(root) == before
    assert ftc("plan", "recipe.yaml", "-o", PLAN).code == 0
    assert ftc("apply", PLAN).code == 0


def hold(root: Path, place: str = "runs/tiny/a1b2", **changes: object) -> Path:
    """A run that was left with its lock."""
    folder = root / place
    folder.mkdir(parents=True)
    held = {"id": "0a1b2c3d", "pid": os.getpid(), "host": platform.node(), "since": "2099-01-01T00:00:00+00:00"}
    (folder / ".holder.json").write_text(Holder.model_validate({**held, **changes}).to_text())
    (folder / ".lock").touch()
    return folder


def test_a_lock_that_nobody_holds(project: MakeProject, ftc: Ftc) -> None:
    hold(project())
    refused = ftc("unlock", "ffffffff")
    assert (refused.code, "[FTC513]" in refused.err) == (1, True)


def test_a_living_holder_keeps_its_lock(project: MakeProject, ftc: Ftc) -> None:
    folder = hold(project())
    refused = ftc("unlock", "0a1b2c3d")
    assert (refused.code, "[FTC514]" in refused.err) == (1, True)
    assert f"kill -INT {os.getpid()}" in refused.text
    assert (folder / ".lock").exists()


@pytest.mark.parametrize(
    "gone",
    [
        {"host": "elsewhere"},
        {"pid": 2**22 + 1},
        {"since": "2001-01-01T00:00:00+00:00"},
        {"host": "elsewhere", "place": ".ftc/copies/1/a1b2"},
    ],
)
def test_a_holder_that_is_gone_loses_it(project: MakeProject, ftc: Ftc, gone: dict[str, Any]) -> None:
    root = project()
    folder = hold(root, **gone)
    freed = ftc("unlock", "0a1b2c3d")
    assert (freed.code, "a1b2 is free" in freed.text) == (0, True), freed.err
    assert list(folder.iterdir()) == []
    assert [one.kind for one in read_ledger(root)] == ["opened", "unlocked"]
