"""The store at which a run's processes meet, and what the first process does for the others before that.

Before they meet, a process may work for hours, such as on token streams. So nobody waits by the clock: whoever works on
rows sends heartbeats as it makes progress, and whoever waits for it gives up only where none come, or it is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from ftc.runtime.execution.end_watch import know_others, let_others_know
from ftc.runtime.execution.lost_processes import loss_of_companion, lost, process, refusal_of
from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.processes import is_one_of_several

__all__ = ["STORE_FD", "by_the_first", "heartbeat", "lend", "meeting_store", "wait_for", "while_connected"]

_Made = TypeVar("_Made")
_IDLE_SECONDS = 1800.0
"""How long a process may show no progress until it meets the others. Parts of a plan count none: near duplicates of
millions of rows are compared for minutes, and a file comes from the hub in one piece."""
_ANSWER_SECONDS = 60.0
"""How long the store may take to answer; the machine of one that takes longer is gone."""
_BEAT_SECONDS = 1.0
_POLL_SECONDS = 0.1
STORE_FD = "FTC_STORE_FD"
"""Names the socket, open already, at which the processes that `ftc apply` starts find each other."""

_opened: list[tuple[Any, int, int]] = []
"""The store of what comes before the meeting, for that."""
_hosted: list[Any] = []
"""Stores that this process serves to the others, for as long as it lives."""


def by_the_first(what: str, act: Callable[[], str | None]) -> str:
    """Has the first process do something before the processes meet, while the others wait.

    Where it raises, the others go on to the meeting, at which the first one then reports to all why it refuses.

    Args:
        what: Names it among what the first process does for the others.
        act: Does it, and may give a text.

    Returns:
        The text, in all processes; empty where the first one gave none.

    Raises:
        Refusal: In the others: the first process was lost (FTC644).
    """
    if not is_one_of_several(os.environ):
        return act() or ""
    opened = store, rank, _ = meeting_store()
    _opened.append(opened)
    key, given = f"first/{what}", ""
    if rank == 0:
        try:
            given = act() or ""
        finally:
            _set(store, key, given)
        return given
    wait_for(store, {0: key})
    with while_connected():
        return str(store.get(key).decode()) if store.check([key]) else ""


def lend(make: Callable[[], _Made], lacks: Callable[[], bool], give: Callable[[_Made], None]) -> _Made:
    """What each process makes; the first one, behind that, gives the others what they still lack before they begin.

    Every process of the run calls it, once. One process has nobody to lend to.

    Args:
        make: What the process is here for.
        lacks: Whether this process lacks something.
        give: What the first process does where another one lacks it.

    Raises:
        Refusal: In the others: the first process was lost (FTC644).
    """
    if not is_one_of_several(os.environ):
        return make()
    opened = store, rank, world_size = meeting_store()
    _opened.append(opened)
    if rank:
        if is_lacking := lacks():
            wait_for(store, {0: "made"})
            is_lacking = lacks()  # what one process makes, all of its machine have
        _set(store, f"lacks/{rank}", "1" if is_lacking else "0")
        if is_lacking:
            wait_for(store, {0: "lent"})
        return make()
    try:
        try:
            made = make()
        finally:
            _set(store, "made")
        asked = {one: f"lacks/{one}" for one in range(1, world_size)}
        wait_for(store, asked)
        with while_connected():
            is_asked = any(store.check([one]) and store.get(one) == b"1" for one in asked.values())
        if is_asked:
            give(made)
    finally:
        _set(store, "lent")
    return made


def _set(store: Any, key: str, value: str = "") -> None:
    with while_connected():
        store.set(key, value)


def heartbeat(_: object = None) -> None:
    """Shows those that wait for this process that it makes progress, once a second at most.

    Raises:
        Refusal: The store's process was lost (FTC644).
    """
    if not is_one_of_several(os.environ):
        return
    now = time.monotonic()
    if not _opened:
        _opened.append(meeting_store())
    elif now - _last_beat[0] < _BEAT_SECONDS:
        return
    _last_beat[0] = now
    store, rank, _count = _opened[-1]
    with while_connected():
        store.add(_beats(rank), 1)


_last_beat = [0.0]


def _beats(rank: int) -> str:
    return f"beats/{rank}"


@contextmanager
def while_connected() -> Iterator[None]:
    """What is asked of the store.

    Raises:
        Refusal: The store's process is gone (FTC644).
    """
    try:
        yield
    except RuntimeError as error:  # torch's own errors
        raise refusal_of("another process", "the connection to it broke") from error


class _Waiting:
    """What a process sees of those that it waits for. While they make progress, so does it, for whoever waits for it.

    Args:
        store: Shared by all processes.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._seen: dict[int, tuple[int, float]] = {}

    def idle(self, ranks: Sequence[int]) -> int | None:
        """One that has shown no progress for too long; None where all make some."""
        now = time.monotonic()
        for rank in ranks:
            count = int(self._store.add(_beats(rank), 0))
            before, _ = self._seen.get(rank, (count, now))
            if count != before and _opened:  # at the meeting itself nobody waits for this one any longer
                heartbeat()
            if rank not in self._seen or count != before:
                self._seen[rank] = count, now
        return next((rank for rank in ranks if now - self._seen[rank][1] > _IDLE_SECONDS), None)


def wait_for(store: Any, keys: Mapping[int, str]) -> None:
    """Waits until each of some processes, by rank, has set its key, or is at the meeting, where it says why it hasn't.

    Raises:
        Refusal: One was lost, or shows no progress (FTC644).
    """
    waits, waiting, next_look = _Waiting(store), [*keys], 0.0
    with while_connected():
        know_others(store)
        # One question for all of them; with hundreds of processes, each about each would keep the store from answering.
        while waiting and not store.check([keys[one] for one in waiting]):
            if loss := loss_of_companion(0.0):
                raise Refusal([loss])
            if time.monotonic() >= next_look:
                know_others(store)
                waiting = [one for one in waiting if not any(store.check([key]) for key in _signs(one, keys[one]))]
                if (idle := waits.idle(waiting)) is not None:
                    raise Refusal([lost(process(idle), f"no progress for {_IDLE_SECONDS:g} s")])
                next_look = time.monotonic() + _BEAT_SECONDS
            time.sleep(_POLL_SECONDS)


def _signs(rank: int, key: str) -> set[str]:
    """Keys by which a process is no longer waited for: its own, and what it says at the meeting."""
    return {key, f"report/{rank}"}


def meeting_store() -> tuple[Any, int, int]:
    """The store, this process's rank and how many there are.

    Raises:
        Refusal: The launcher can't be reached (FTC644).
    """
    if _opened:  # a socket that was handed down can be taken once
        return _opened.pop()
    from torch import distributed

    dist: Any = distributed  # of which it says nothing about its stores

    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    try:
        if (socket := os.environ.pop(STORE_FD, None)) is not None:
            port, wait = int(os.environ["MASTER_PORT"]), timedelta(seconds=_IDLE_SECONDS)
            store: Any = dist.TCPStore(
                "127.0.0.1", port, None, True, wait, wait_for_workers=False, master_listen_fd=int(socket)
            )
            _hosted.append(store)
        else:
            store, rank, world_size = next(dist.rendezvous("env://", timeout=timedelta(seconds=_IDLE_SECONDS)))
    except (RuntimeError, OSError, ValueError) as error:
        raise Refusal([lost("the launcher", str(error).partition("\n")[0])]) from error
    store.set_timeout(timedelta(seconds=_ANSWER_SECONDS))
    meeting = dist.PrefixStore("ftc/meeting", store)
    with while_connected():
        let_others_know(meeting)
    return meeting, rank, world_size
