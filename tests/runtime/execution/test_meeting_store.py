"""What the first process gives the others before they meet, over a real store in one process's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from torch import distributed

from ftc.runtime.execution import meeting_store
from ftc.runtime.execution.meeting_store import by_the_first, lend
from ftc.spec.diagnostics import Refusal

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

    for name, value in (("_opened", opened), ("MEETING_SECONDS", 10.0), ("_POLL_SECONDS", 0.01)):
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
    assert together(lambda: store.set("report/0", ""), lambda: by_the_first(lambda: None)) == [None, None]
