"""Folders that git leaves alone."""

from __future__ import annotations

from pathlib import Path

from ftc.spec.documents.ledger import note_evaluation
from ftc.spec.storage.ignored import make_ignored


def test_a_new_folder_brings_its_gitignore_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    make_ignored(tmp_path / "runs")
    assert (tmp_path / "runs" / ".gitignore").read_text().splitlines()[-1] == "*"
    (tmp_path / "runs" / ".gitignore").write_text("mine\n")
    make_ignored(tmp_path / "runs")
    assert (tmp_path / "runs" / ".gitignore").read_text() == "mine\n"
    (tmp_path / "runs" / ".gitignore").unlink()
    make_ignored(tmp_path / "runs")
    assert not (tmp_path / "runs" / ".gitignore").exists(), "who deleted it wants to commit what is there"
    make_ignored(tmp_path / "runs" / "nobody" / "x")
    (tmp_path / "file").touch()
    make_ignored(tmp_path / "file" / "below")  # whatever writes there next says why it can't


def test_the_ledger_lies_in_such_a_folder(tmp_path: Path) -> None:
    note_evaluation(tmp_path, name="a", run_id="", stream_sha256="0" * 64, rows=1, purpose="show rows a.csv:1")
    assert (tmp_path / ".ftc" / ".gitignore").exists()
