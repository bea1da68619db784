"""A run stops at the next safe place when a signal or its caller asks for it; a second signal stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ftc.spec.documents.interruption import StopKind

__all__ = ["Interrupted", "StopRequest", "stop_on_signals"]

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""A terminal that is closed asks for the same as Ctrl-C; Windows has no such signal."""


class Interrupted(Exception):
    """Work was left at a safe place because somebody asked for it."""

    def __init__(self, kind: StopKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: StopKind = kind
        self.reason = reason


class StopRequest:
    """Whether somebody asked the run to stop.

    Args:
        report: Called with the signal's number when they do, in the middle of whatever the process is doing.
    """

    def __init__(self, report: Callable[[int], None] = lambda number: None) -> None:
        self.requested = False
        self.kind: StopKind = "interrupted"
        self.reason = "stopped on request"
        self._report = report
        self._signaled = False

    def ask(self, kind: StopKind, reason: str) -> None:
        """Asks for a stop at the next safe place, on behalf of the caller; what was asked first counts."""
        if not self.requested:
            self.requested, self.kind, self.reason = True, kind, reason

    def check(self) -> None:
        """Leaves work that can simply be done again.

        Raises:
            Interrupted: Somebody asked for it.
        """
        if self.requested:
            raise Interrupted(self.kind, self.reason)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Notes the first request; a second one breaks off.

        Raises:
            KeyboardInterrupt: This was the second request.
        """
        if self._signaled:
            raise KeyboardInterrupt
        self._signaled = True
        self.ask("interrupted", self.reason)
        with suppress(RuntimeError):  # the signal came while a line was being written
            self._report(number)


@contextmanager
def stop_on_signals(report: Callable[[int], None]) -> Iterator[StopRequest]:
    """Turns signals into a request while the block runs; only the main thread of a process receives them."""
    request = StopRequest(report)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # `nohup` means it
    before = {number: signal.signal(number, request.handle) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
