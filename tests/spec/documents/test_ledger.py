"""The ledger: appended, chained, and readable whatever a crash or a second process did to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ftc.spec.documents.ledger import (
    Begun,
    Ended,
    Opened,
    append_entry,
    broken_links,
    evaluations_of,
    moved_since,
    note_evaluation,
    read_ledger,
    state_mark,
)
from ftc.spec.storage.paths import ledger_file

JOB, OTHER = "a1" * 32, "b2" * 32


def begin(root: Path, job: str = JOB, name: str = "bbc") -> None:
    append_entry(root, Begun, name=name, run_id=job[:12], job_sha256=job, plan_sha256="c3" * 32)


def look(root: Path, stream: str = "d4" * 32, purpose: str = "evaluate base") -> None:
    note_evaluation(root, name="bbc", run_id="a1", stream_sha256=stream, rows=9, purpose=purpose)


def test_it_begins_with_its_lineage_and_counts(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == ()
    begin(tmp_path)
    append_entry(tmp_path, Ended, name="bbc", run_id="a1", status="finished", record_sha256="e5" * 32)
    first, *rest = read_ledger(tmp_path)
    assert isinstance(first, Opened)
    assert len(first.lineage) == 32
    assert [one.serial for one in (first, *rest)] == [0, 1, 2]
    assert [one.kind for one in rest] == ["run_begun", "run_ended"]
    assert broken_links(tmp_path) == ()


def test_looks_are_counted_by_what_was_looked_at(tmp_path: Path) -> None:
    look(tmp_path)
    look(tmp_path, purpose="evaluate tuned")
    look(tmp_path, stream="f6" * 32)
    purposes = [one.purpose for one in evaluations_of(read_ledger(tmp_path), "d4" * 32)]
    assert purposes == ["evaluate base", "evaluate tuned"]


@pytest.mark.parametrize(("cut", "looks"), [(1, 1), (2, 0), (90, 0)])
def test_a_torn_tail_costs_its_entry_and_no_other(tmp_path: Path, cut: int, looks: int) -> None:
    begin(tmp_path)
    look(tmp_path)
    file = ledger_file(tmp_path)
    file.write_bytes(file.read_bytes()[:-cut])
    begin(tmp_path, OTHER)
    entries = read_ledger(tmp_path)
    assert [one.kind for one in entries] == ["opened", "run_begun", *["test_look"] * looks, "run_begun"]
    assert [one.serial for one in entries] == list(range(len(entries)))


def test_an_edited_and_a_missing_line_show(tmp_path: Path) -> None:
    for job in (JOB, OTHER, JOB):
        begin(tmp_path, job)
    file = ledger_file(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines).replace(b'"name":"bbc"', b'"name":"cnn"', 1))
    assert broken_links(tmp_path) == ("line 3 doesn't follow the one before it",)
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert broken_links(tmp_path) == ("line 3 doesn't follow the one before it",)
    file.write_bytes(b"".join([*lines[:3], b"{\n"]))
    assert broken_links(tmp_path) == (), "so a crash leaves it"
    file.write_bytes(b"".join([*lines[:2], b"{\n", *lines[3:]]))
    assert broken_links(tmp_path) == ("line 4 doesn't follow the one before it",)


def test_a_mark_moves_with_other_jobs_of_the_same_recipe(tmp_path: Path) -> None:
    mark = state_mark(tmp_path, "bbc")
    assert (mark.lineage, mark.serial) == ("", -1)
    begin(tmp_path)
    begin(tmp_path, OTHER, name="cnn")
    look(tmp_path)
    assert moved_since(tmp_path, "bbc", mark, JOB) == ()
    (line,) = moved_since(tmp_path, "bbc", mark, OTHER)
    assert line.startswith("state.serial: no run → 1, run a1a1a1a1a1a1 began at ")
    assert moved_since(tmp_path, "bbc", state_mark(tmp_path, "bbc"), OTHER) == ()


def test_another_ledger_is_another_lineage(tmp_path: Path) -> None:
    begin(tmp_path)
    mark = state_mark(tmp_path, "bbc")
    ledger_file(tmp_path).unlink()
    assert "no ledger" in moved_since(tmp_path, "bbc", mark, JOB)[0]
    begin(tmp_path)
    assert moved_since(tmp_path, "bbc", mark, JOB)[0].startswith(f"state.lineage: {mark.lineage[:8]} → ")


WRITER = """
import sys
from pathlib import Path
from ftc.spec.documents.ledger import note_evaluation

for _ in range(3):
    note_evaluation(Path(sys.argv[1]), name="bbc", run_id="a1", stream_sha256="d4" * 32, rows=9, purpose="measure")
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert [one.serial for one in read_ledger(tmp_path)] == list(range(7))
    assert broken_links(tmp_path) == ()
    assert all(json.loads(line) for line in ledger_file(tmp_path).read_bytes().splitlines())
