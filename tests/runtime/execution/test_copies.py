"""The folder for copies of a run elsewhere: held by one process, and behind it empty but for documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.runtime.execution.copies import own_folder
from ftc.spec.diagnostics import Refusal


def _files(root: Path) -> list[str]:
    return sorted(file.name for file in root.rglob("copies/**/*") if file.is_file() and file.name[0] != ".")


def _fill(folder: Path) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("record.json", "proof.ndjson", "checkpoints/state.json"):
        (folder / name).write_text("{}")


def _fill_and_fail(folder: Path) -> None:
    _fill(folder)
    folder.mkdir()


def test_a_run_that_fails_leaves_documents_alone(tmp_path: Path) -> None:
    copy = tmp_path / ".ftc" / "copies" / "1" / "7f" / "tiny" / "7f"
    with pytest.raises(FileExistsError), own_folder(tmp_path, "7f", 1):
        _fill_and_fail(copy)
    assert _files(tmp_path) == ["record.json"]
    with own_folder(tmp_path, "7f", 1):
        assert not _files(tmp_path), "what an earlier run left is no part of this one"


def test_two_runs_do_not_meet_in_one_folder(tmp_path: Path) -> None:
    with own_folder(tmp_path, "7f", 1):
        _fill(tmp_path / ".ftc" / "copies" / "1" / "7f" / "tiny" / "7f")
        with own_folder(tmp_path, "8a", 1):
            assert len(_files(tmp_path)) == 3
        with pytest.raises(Refusal, match="7f is in use by process") as refused, own_folder(tmp_path, "7f", 1):
            pass
        assert refused.value.diagnostics[0].code == "FTC627"
        assert len(_files(tmp_path)) == 3, "whoever is refused deletes nothing"


def test_copies_of_a_killed_run_go_when_the_next_one_begins(tmp_path: Path) -> None:
    killed = tmp_path / ".ftc" / "copies" / "2" / "7f"
    _fill(killed / "tiny" / "7f")
    (killed / ".lock").touch()  # of a process that is gone: nobody holds it
    with own_folder(tmp_path, "8a", 2):
        _fill(tmp_path / ".ftc" / "copies" / "2" / "8a" / "tiny" / "8a")
        with own_folder(tmp_path, "8a", 1):
            assert _files(tmp_path) == ["proof.ndjson", "record.json", "record.json", "state.json"]
        assert not [*(killed / "tiny" / "7f").glob("[!r]*")]


def test_a_project_that_takes_no_copies_is_named(tmp_path: Path) -> None:
    (tmp_path / ".ftc").write_text("")
    with pytest.raises(Refusal) as refused, own_folder(tmp_path, "7f", 1):
        pass
    assert refused.value.diagnostics[0].code == "FTC648"
