"""Requests to an endpoint, some at once, until all are answered or the endpoint stays silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from ftc.runtime.training.signals import StopRequest

__all__ = ["MOST_SILENT", "ask_at_once"]

MOST_SILENT = 8
"""Requests in a row that the endpoint leaves without an answer before no more are sent."""
_POLL_SECONDS = 0.2
"""How often a request to stop is checked while answers are out."""

T = TypeVar("T")


def ask_at_once(
    ask: Callable[[int, threading.Event], T],
    count: int,
    at_once: int,
    stop: StopRequest,
    *,
    is_silent: Callable[[T], bool],
) -> dict[int, T]:
    """What becomes of so many requests, by number from 0, in the order in which they end.

    Threads that still wait are left behind: an endpoint can keep one for minutes.

    Args:
        ask: Sends a request by its number, from any thread; the event is set once no more are sent.
        count: How many there are.
        at_once: How many may be out at the same time.
        stop: Whether somebody asked to stop.
        is_silent: Whether the endpoint gave no answer to a request, so that the next one may have none either.

    Returns:
        All of them, or fewer where the endpoint gave no answer to `MOST_SILENT` in a row.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    waiting = SimpleQueue[int]()
    answers = SimpleQueue[tuple[int, Future[T]]]()
    ended = threading.Event()
    for number in range(count):
        waiting.put(number)

    def work() -> None:
        with suppress(Empty):
            while not ended.is_set():
                number, one = waiting.get_nowait(), Future[T]()
                try:
                    one.set_result(ask(number, ended))
                except BaseException as error:  # noqa: BLE001 - raised again where the answers are read
                    one.set_exception(error)
                answers.put((number, one))

    found, silent = dict[int, T](), 0
    for _ in range(min(at_once, count)):
        threading.Thread(target=work, daemon=True).start()
    try:
        while len(found) < count and silent < MOST_SILENT:
            stop.check()
            with suppress(Empty):
                number, one = answers.get(timeout=_POLL_SECONDS)
                found[number] = one.result()
                silent = silent + 1 if is_silent(found[number]) else 0
    finally:
        ended.set()
    return found
