"""What the folders of a project's runs tell."""

from __future__ import annotations

import os
from pathlib import Path

from ftc.verbs.runs import past_runs, runs, unreadable_runs
from tests.support.contests import answered_run


def test_folders_without_a_record_crowd_out_no_earlier_run(tmp_path: Path) -> None:
    os.utime(answered_run(tmp_path, "a1", 1), (0, 0))
    for number in range(30):
        (tmp_path / "runs" / "demo" / f"unfinished-{number}").mkdir()
    assert [one.model for one in past_runs(tmp_path)] == [run.plan.model.name for run in runs(tmp_path)] != []


def test_a_run_that_was_not_read_is_named(tmp_path: Path) -> None:
    answered_run(tmp_path, "good", 1)
    (answered_run(tmp_path, "bad", 1) / "plan.json").write_text("{")
    assert unreadable_runs(runs(tmp_path), tmp_path) == ("bad",)
