"""The store at which a run's processes meet, and what the first process does for the others before that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from ftc.runtime.execution.lost_processes import loss_of_companion, lost
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.storage.processes import is_one_of_several

__all__ = ["MEETING_SECONDS", "STORE_FD", "by_the_first", "come", "lend", "meeting_store"]

_Made = TypeVar("_Made")
MEETING_SECONDS = 1800.0
"""How long the others may take until they have read the plan; one without the streams' cache tokenizes rows."""
_POLL_SECONDS = 0.1
STORE_FD = "FTC_STORE_FD"
"""Names the socket, open already, at which the processes that `ftc apply` starts find each other."""

_opened: list[tuple[Any, int, int]] = []
"""The store of what comes before the meeting, for that."""
_hosted: list[Any] = []
"""Stores that this process serves to the others, for as long as it lives."""


def by_the_first(act: Callable[[], None]) -> None:
    """Has the first process do something before the processes meet, while the others wait.

    Where it raises, the others go on to the meeting, at which the first one then tells all why it refuses.

    Raises:
        Refusal: In the others: the first process was lost (FTC644).
    """
    if not is_one_of_several(os.environ):
        act()
        return
    opened = store, rank, _ = meeting_store()
    _opened.append(opened)
    if rank == 0:
        try:
            act()
        finally:
            store.set("first", "")
    else:
        _said(store, {0: "first"})


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
            _said(store, {0: "made"})
            is_lacking = lacks()  # what one process makes, all of its machine have
        store.set(f"lacks/{rank}", "1" if is_lacking else "0")
        if is_lacking:
            _said(store, {0: "lent"})
        return make()
    try:
        try:
            made = make()
        finally:
            store.set("made", "")
        asked = {one: f"lacks/{one}" for one in range(1, world_size)}
        _said(store, asked)
        if any(store.check([one]) and store.get(one) == b"1" for one in asked.values()):
            give(made)
    finally:
        store.set("lent", "")
    return made


def _said(store: Any, keys: Mapping[int, str]) -> None:
    """Waits until each of some processes, by rank, has set its key, or is at the meeting, where it says why it hasn't.

    Raises:
        Refusal: One was lost (FTC644).
    """
    waiting, ends = [*keys], time.monotonic() + MEETING_SECONDS
    while waiting := [one for one in waiting if not any(store.check([key]) for key in (keys[one], f"report/{one}"))]:
        if loss := loss_of_companion(0.0):
            raise Refusal([loss])
        if time.monotonic() > ends:
            raise Refusal([lost(f"process {waiting[0]}", f"it was not ready within {MEETING_SECONDS:g} s")])
        time.sleep(_POLL_SECONDS)


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
            port, wait = int(os.environ["MASTER_PORT"]), timedelta(seconds=MEETING_SECONDS)
            store: Any = dist.TCPStore(
                "127.0.0.1", port, None, True, wait, wait_for_workers=False, master_listen_fd=int(socket)
            )
            _hosted.append(store)
        else:
            store, rank, world_size = next(dist.rendezvous("env://", timeout=timedelta(seconds=MEETING_SECONDS)))
    except (RuntimeError, OSError, ValueError) as error:
        raise Refusal([lost("the launcher", str(error).partition("\n")[0])]) from error
    return dist.PrefixStore("ftc/meeting", store), rank, world_size


def come(
    store: Any, keys: Sequence[str], seconds: float, unless: Callable[[], Diagnostic | None] = lambda: None
) -> bool:
    """Whether all keys are there within a time, and before a process is lost."""
    ends = time.monotonic() + seconds
    while not store.check(list(keys)):
        if loss := unless():
            raise Refusal([loss])
        if time.monotonic() > ends:
            return False
        time.sleep(_POLL_SECONDS)
    return True
