"""Runs as they are followed from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.cli.main import main
from ftc.spec.documents.events import Resumed
from ftc.verbs.watch import follower, listed_runs
from tests.support.tracked_runs import EVENTS, append_events, make_run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ftc").mkdir()
    return tmp_path


def test_events_are_read_again_once_there_are_more(project: Path) -> None:
    run = make_run(project)
    found = follower(run.record.id)
    assert len(found.look().events) == len(EVENTS)
    append_events(run.folder, (Resumed(step=2),))
    assert len(found.look().events) == len(EVENTS) + 1


def test_a_finished_run_is_shown_once_and_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(project)
    assert main(["watch"]) == 0
    out = capsys.readouterr().out
    assert run.record.id in out
    assert "finished" in out
    assert main(["watch", run.record.id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["step"], found["loss"], found["status"]) == (4, 0.25, "finished")
    assert found["training_seconds_left"] is None


def test_no_run_at_all_is_said_with_what_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch"]) != 0
    assert "ftc apply RECIPE" in capsys.readouterr().err


def test_the_page_lists_all_runs_with_links_and_is_not_refreshed_once_all_are_over(project: Path) -> None:
    run = make_run(project)
    (project / "pages").mkdir()
    assert main(["watch", "--format", "html", "-o", "pages/runs.html"]) == 0
    page = (project / "pages" / "runs.html").read_text(encoding="utf-8")
    assert f'href="../runs/{run.record.name}/{run.record.id}/report.html"' in page
    assert "<nav" not in page, "one section needs no list of contents"
    assert 'http-equiv="refresh"' not in page
    assert "<polyline" in page
    assert "<script" not in page
    assert main(["watch", "--format", "html", "-o", "pages/runs.html"]) == 0, "its own page may be replaced"
    (project / "pages" / "mine.html").write_text("mine", encoding="utf-8")
    assert main(["watch", "--format", "html", "-o", "pages/mine.html"]) != 0


def test_a_run_whose_process_is_gone_is_not_listed_as_running(project: Path) -> None:
    run = make_run(project)
    segment = run.record.segments[0].model_copy(update={"ended_at": None, "ended_by": None})
    record = run.record.model_copy(update={"status": "running", "segments": (segment,), "outputs": {}}).sealed()
    (run.folder / "record.json").write_text(record.to_text(), encoding="utf-8")
    (listed,) = listed_runs(project)
    assert listed.record.status == "interrupted"
    assert not listed.is_running


@pytest.mark.parametrize("words", [["-o", "runs.html"], ["3f2a", "--format", "html"]])
def test_nothing_that_is_asked_is_left_out_silently(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["watch", *words]) == 64
    assert "--format html" in capsys.readouterr().err
