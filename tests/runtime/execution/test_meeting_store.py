"""What the first process gives the others before they meet: over a store in one process's threads, and as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from torch import distributed

from ftc.runtime.execution import meeting_store
from ftc.runtime.execution.meeting_store import by_the_first, lend
from ftc.spec.diagnostics import Refusal
from tests.launch.machines import ended, free_port

Together = Callable[..., list[Any]]


@pytest.fixture
def store() -> Any:
    dist: Any = distributed  # of which it says nothing about its stores
    return dist.HashStore()


@pytest.fixture
def together(store: Any, monkeypatch: pytest.MonkeyPatch) -> Together:
    """Calls one function for each of some processes, which have one store."""
    own, opened = threading.local(), list[Any]()

    def run(*acts: Callable[[], Any]) -> list[Any]:
        def act(rank: int) -> Any:
            own.rank = rank
            return acts[rank]()

        monkeypatch.setattr(meeting_store, "meeting_store", lambda: (store, own.rank, len(acts)))
        with ThreadPoolExecutor(len(acts)) as pool:
            return [one.result() for one in [pool.submit(act, rank) for rank in range(len(acts))]]

    for name, value in (("_opened", opened), ("_IDLE_SECONDS", 10.0), ("_POLL_SECONDS", 0.01)):
        monkeypatch.setattr(meeting_store, name, value)
    for name, text in (("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, text)
    return run


@pytest.mark.parametrize("is_shared", [True, False])
def test_only_what_a_process_lacks_behind_the_first_ones_work_is_lent(together: Together, is_shared: bool) -> None:
    asked, cache, other, given = threading.Event(), set[str](), set[str](), list[str]()

    def make() -> str:
        assert asked.wait(10)  # the other process has seen the empty cache
        cache.add("streams")
        return "made"

    def lacks() -> bool:
        try:
            return "streams" not in (cache if is_shared else other)
        finally:
            asked.set()

    def give(made: str) -> None:
        given.append(made)
        other.add("streams")

    def follow() -> str:
        return "here" if not lacks() else "absent"

    found = together(lambda: lend(make, lambda: False, give), lambda: lend(follow, lacks, give))
    assert found == ["made", "here"]
    assert given == ([] if is_shared else ["made"])


def test_a_first_process_that_refuses_keeps_nobody_waiting(together: Together) -> None:
    def make() -> str:
        raise Refusal([])

    def first() -> str:
        with pytest.raises(Refusal):
            lend(make, lambda: False, lambda made: None)
        return "refused"

    assert together(first, lambda: lend(lambda: "went on", lambda: True, lambda made: None)) == ["refused", "went on"]


def test_a_first_process_that_is_at_the_meeting_already_keeps_nobody_waiting(together: Together, store: Any) -> None:
    """It has no storage, where another one has."""
    found = together(lambda: store.set("report/0", ""), lambda: by_the_first("storage", lambda: "given"))
    assert found == [None, ""]


def test_each_thing_that_the_first_process_does_is_waited_for(together: Together) -> None:
    def two(rank: int) -> list[str]:
        return [by_the_first(what, lambda what=what: f"{what} of {rank}") for what in ("one", "other")]  # type: ignore[misc]

    assert together(lambda: two(0), lambda: two(1)) == [["one of 0", "other of 0"]] * 2


_PROCESS = """
import os, sys, time
from ftc.runtime.execution import meeting_store
from ftc.spec.diagnostics import Refusal

rank, idle, works, beats = int(os.environ["RANK"]), *map(float, sys.argv[1:])
meeting_store._IDLE_SECONDS, meeting_store._BEAT_SECONDS = idle, 0.05

def make():
    print("begins", flush=True)
    ends = time.monotonic() + works
    while rank == 0 and time.monotonic() < ends:
        time.sleep(0.05)
        if beats:
            meeting_store.heartbeat()
    return "made"

def lacks():
    print("lacks", flush=True)
    return True

try:
    print(meeting_store.lend(make, lacks, lambda made: None), flush=True)
except Refusal as refusal:
    print(*(f"{one.code} {one.summary}" for one in refusal.diagnostics), flush=True)
"""


def _processes(idle: float, works: float, *, beats: bool) -> list[subprocess.Popen[str]]:
    """Two of a run; the first one works so many seconds, and the other one waits so many without progress."""
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    words = [sys.executable, "-c", _PROCESS, str(idle), str(works), str(int(beats))]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return [subprocess.Popen(words, env={**environment, "RANK": str(rank)}, text=True, **pipes) for rank in range(2)]


@pytest.mark.slow
def test_a_first_process_that_gets_on_is_waited_for_beyond_any_period() -> None:
    first, other = _processes(5.0, 12.0, beats=True)
    said = [ended(one) for one in (first, other)]
    assert [one.out.split()[-2:] for one in said] == [["begins", "made"]] * 2, [one.text for one in said]


@pytest.mark.slow
def test_a_first_process_without_progress_is_given_up() -> None:
    first, other = _processes(1.0, 600.0, beats=False)
    try:
        assert "FTC644 process 0 was lost: no progress for 1 s" in ended(other).out
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_first_process_that_is_killed_keeps_nobody_waiting() -> None:
    first, other = _processes(1000.0, 1000.0, beats=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "lacks\n"  # and waits from now on
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said = ended(other)
    assert "FTC644" in said.out, said.text
    assert "Traceback" not in said.err
