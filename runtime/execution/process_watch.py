"""Several processes of a run watch each other, so that one that hangs ends the run and not the night.

A process that dies is noticed by the next exchange of gradients. One that is stopped, or whose machine is gone without
a word, is not: the others would wait for half an hour. So each tells every few seconds that it lives, and looks for the
others. A long phase that only one of them works in, such as writing a large checkpoint, is no silence.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ftc.spec.diagnostics import Diagnostic, diagnostic

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Heartbeats", "lost", "watched"]

_SILENT_SECONDS = 60.0
_BEATS = 12
"""Signs of life within the time of silence that is borne."""
_OVER = b"over"


class Store(Protocol):
    """What is used of torch's store, which all processes of a run share."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def check(self, keys: list[str]) -> bool: ...


class Heartbeats:
    """One process's signs of life, and when it last saw those of the others.

    Args:
        store: Shared by all processes.
        rank: This process's number.
        world_size: How many there are.
        clock: Seconds that only rise.
    """

    def __init__(self, store: Store, rank: int, world_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._rank, self._clock = store, rank, clock
        self._count = 0
        self._seen = {other: (b"", clock()) for other in range(world_size) if other != rank}

    def beat(self) -> None:
        """Tells that this process lives."""
        self._count += 1
        self._store.set(_key(self._rank), str(self._count))

    def end(self) -> None:
        """Tells that this process is done, and that its silence means nothing."""
        self._store.set(_key(self._rank), _OVER.decode())

    def silent(self, seconds: float) -> int | None:
        """A process that has been silent for so long, or None."""
        now = self._clock()
        for other, (last, since) in self._seen.items():
            value = self._store.get(_key(other)) if self._store.check([_key(other)]) else b""
            if value not in (last, _OVER):
                self._seen[other] = (value, now)
            elif value != _OVER and now - since > seconds:
                return other
        return None


@contextmanager
def watched(accelerator: Accelerator) -> Iterator[None]:
    """Watches the run's other processes while the block runs; a silent one ends this process with a diagnostic.

    `FTC_SILENT_SECONDS` is how long a process may be silent; 60 where it isn't set.
    """
    if accelerator.num_processes == 1:
        yield
        return
    from torch.distributed.distributed_c10d import _get_default_store

    seconds = float(os.environ.get("FTC_SILENT_SECONDS", _SILENT_SECONDS))
    shared: Any = _get_default_store()
    beats = Heartbeats(shared.clone(), accelerator.process_index, accelerator.num_processes)
    is_over = threading.Event()
    threading.Thread(target=_watch, args=(beats, seconds, is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        _quietly(beats.end)


def _watch(beats: Heartbeats, seconds: float, is_over: threading.Event) -> None:
    while not is_over.wait(seconds / _BEATS):
        try:
            beats.beat()
            silent = beats.silent(seconds)
        except RuntimeError:  # the launcher, which keeps the store, is gone
            silent = -1
        if silent is not None and not is_over.is_set():
            _end(lost("the launcher" if silent < 0 else f"process {silent}", f"silent for {seconds:g} s"))


def _end(finding: Diagnostic) -> None:
    """Ends this process: its main thread waits for one that will never answer."""
    sys.stderr.write(f"error[{finding.code}]: {finding.summary}\n  = help: {finding.help[0]}\n")
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(1)


def lost(who: str, why: str) -> Diagnostic:
    """A process of the run doesn't take part any longer."""
    return diagnostic(
        "FTC644",
        f"{who} of this run is lost: {why}",
        help="look at what it said last, then apply the plan again; it goes on from the last checkpoint",
    )


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except RuntimeError:
        return


def _key(rank: int) -> str:
    return f"ftc/alive/{rank}"
