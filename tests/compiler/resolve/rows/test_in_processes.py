"""Work in several processes gives what one would, whatever becomes of the processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ftc.compiler.resolve.rows import in_processes
from ftc.compiler.resolve.rows.in_processes import found_in, frame, num_jobs, ranges, spread, unframed, with_jobs
from ftc.compiler.resolve.rows.row_digests import row_digests
from ftc.compiler.resolve.rows.row_store import stored
from ftc.compiler.resolve.rows.spool import Spool

HERE = os.getpid()
alone = pytest.mark.skipif(sys.platform != "linux", reason="one process does all elsewhere")


@pytest.fixture(autouse=True)
def alone_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that other tests left behind count for none."""
    count, left = threading.active_count, threading.active_count() - 1
    monkeypatch.setattr(threading, "active_count", lambda: count() - left)


def told(which: range) -> Iterator[bytes]:
    """The number of each piece, a large one of it, and whether another process did it."""
    yield from (frame([number, os.getpid() != HERE], [bytes([number]) * 300_000]) for number in which)


@alone
@pytest.mark.parametrize("jobs", [1, 2, 3, 20])
def test_results_come_in_order_from_any_number_of_processes(jobs: int) -> None:
    with with_jobs(jobs):
        found = [*map(unframed, spread(9, told))]
    assert [(number, parts) for (number, _), parts in found] == [(n, [bytes([n]) * 300_000]) for n in range(9)]
    assert {was_apart for (_, was_apart), _ in found} == {jobs > 1}


@alone
def test_a_lost_process_leaves_its_work_to_this_one() -> None:
    def lost(which: range) -> Iterator[bytes]:
        for number in which:
            if number == 5 and os.getpid() != HERE:
                os.kill(os.getpid(), signal.SIGKILL)
            yield from told(range(number, number + 1))

    with with_jobs(2):
        found = [unframed(one)[0] for one in spread(9, lost)]
    assert found == [[number, number < 5] for number in range(9)]


@alone
def test_an_error_is_raised_here_behind_what_comes_before_it() -> None:
    def fails(which: range) -> Iterator[bytes]:
        for number in which:
            if number == 6:
                raise ValueError("the seventh")
            yield bytes([number])

    found = []
    with with_jobs(3):
        results = spread(9, fails)
        found += [next(results) for _ in range(6)]
        with pytest.raises(ValueError, match="the seventh"):
            next(results)
    assert found == [bytes([number]) for number in range(6)]


_KILLED = """
import os, signal, sys
sys.path[:] = {path!r}
from ftc.compiler.resolve.rows.in_processes import spread, with_jobs
with with_jobs(3):
    next(spread(30, lambda which: (bytes(3_000_000) for _ in which)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@alone
def test_processes_end_with_the_one_that_reads_from_them() -> None:
    """They hold its output open, whose end is waited for here."""
    command = [sys.executable, "-c", _KILLED.format(path=sys.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=60)[0] == b""
    assert process.returncode == -signal.SIGKILL


@alone
def test_where_no_more_processes_are_allowed_this_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    forks, fork = iter([True, False]), os.fork

    def limited() -> int:
        if next(forks):
            return fork()
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", limited)
    with with_jobs(3):
        assert [unframed(one)[0] for one in spread(9, told)] == [[number, False] for number in range(9)]


@alone
def test_nothing_is_forked_beside_another_thread() -> None:
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    with with_jobs(4):
        assert num_jobs() == 1
        wait.set()
        thread.join()
        assert num_jobs() == 4


@alone
def test_rows_on_disk_are_read_and_rewritten_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftc.compiler.resolve.rows.spool.MOST_IN_MEMORY", 1_000)
    monkeypatch.setattr(in_processes, "ROWS_AT_ONCE", 7)
    rows = [{"text": f"row {number}", "n": number} for number in range(100)]
    kept = stored(rows)
    kept.rewrite(lambda row: row.pop("n"), apart=True)
    with with_jobs(2):
        assert row_digests(stored(rows)) == row_digests(rows)
        other = stored(rows)
        other.rewrite(lambda row: row.pop("n"), apart=True)
    assert other == kept == [{"text": f"row {number}"} for number in range(100)]


def test_a_frame_gives_back_what_it_was_given() -> None:
    assert unframed(frame({"a": [1, "ü\ud800"]}, [b"", b"xy"])) == ({"a": [1, "ü\ud800"]}, [b"", b"xy"])
    assert ranges(0) == []
    assert [*map(len, ranges(10, 4))] == [4, 4, 2]
    assert Spool().read(0, 0) == b""


@alone
@pytest.mark.parametrize("jobs", [1, 3])
def test_what_is_found_comes_with_the_number_of_its_row(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_processes, "ROWS_AT_ONCE", 7)
    rows = stored({"n": number} for number in range(100))
    with with_jobs(jobs):
        found = [*found_in(rows, lambda row: [row["n"], "third"] if row["n"] % 3 == 0 else None)]
    assert found == [(number, [number, "third"]) for number in range(0, 100, 3)]
