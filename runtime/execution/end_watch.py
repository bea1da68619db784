"""How a process of a run ended, known to the others: whichever launcher started them, on whichever machine they are.

The exchange of gradients only shows that a connection broke, and the parent of a process is the launcher's. So each
process starts a small one beside itself, which passes on what it writes to standard error and sees its end. The one
beside the first process listens; the others tell it how theirs ended, and it tells all.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ftc.runtime.execution import end_watch_child
from ftc.runtime.execution.lost_processes import ask_about_losses, how_it_ended, lost, note_spoken, process
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.exit_codes import ExitCode
from ftc.spec.launchers import SEEN_BY_PARENT
from ftc.spec.storage.processes import is_follower, is_one_of_several

__all__ = ["first_is_lost", "is_about_to_end", "know_others", "let_others_know", "seen_by_others"]

_KEY = "end-watch"
_LOOPBACK = ("127.0.0.1", "localhost")
_PIECE_BYTES = 65536


class _Loss(Document):
    """How a process ended, in what is sent; it comes over the network."""

    rank: int
    host: str
    status: int | None
    """As `subprocess` says it; None where it is not known."""
    lines: tuple[str, ...]


class _Watched:
    """This process, as the one beside it knows it.

    Args:
        environ: Torchrun's contract.

    Raises:
        OSError: The system allows no further process, pipe or socket.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.rank, self._head = int(environ["RANK"]), environ["MASTER_ADDR"]
        self._token = secrets.token_hex(16) if self.rank == 0 else ""
        self._is_introduced = self.rank == 0
        self._losses: list[_Loss] = []
        self._rest = b""
        self._notices, notices = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, notices)
            given = {"notices": notices}
            if self.rank == 0:
                listens = stack.enter_context(socket.create_server(("127.0.0.1" if self._head in _LOOPBACK else "", 0)))
                self._port, given["listens"] = listens.getsockname()[1], listens.fileno()
            reads, writes, shown = (*os.pipe(), os.dup(2))
            for end in (reads, writes, shown):
                stack.callback(os.close, end)
            if passes_on := not os.isatty(2):  # whoever reads a terminal has seen the last lines
                given["output"] = reads
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(end_watch_child.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=shown,
                pass_fds=[*given.values()],
                start_new_session=True,  # a signal to the terminal's programs, or to this one's group, doesn't end it
            )
            self.tell({"rank": self.rank, "host": platform.node(), "pid": os.getpid(), "token": self._token, **given})
            if passes_on:
                sys.stderr.flush()
                os.dup2(writes, 2)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Says something to the process beside this one; where that one is gone, nobody hears it."""
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()

    def let_others_know(self, store: Any) -> None:
        """Where the one beside the first process listens."""
        if self.rank == 0:
            store.set(_KEY, json.dumps({"port": self._port, "token": self._token}))

    def know_others(self, store: Any) -> None:
        """Reads where it listens, once that is known."""
        if not self._is_introduced and store.check([_KEY]):
            self._is_introduced = True
            self.tell({"host": self._head, **json.loads(store.get(_KEY))})

    def loss(self, seconds: float) -> Diagnostic | None:
        """How another process ended; one that was killed comes before those that ended for its sake."""
        ends = time.monotonic() + seconds
        while True:
            self._read(max(0.0, ends - time.monotonic()) if not self._losses else 0.0)
            if self._losses or time.monotonic() >= ends:
                break
        if not self._losses:
            return None
        one = min(self._losses, key=lambda loss: loss.status is not None and loss.status >= 0)
        return lost(process(one.rank, one.host), how_it_ended(one.status), one.lines)

    def _read(self, seconds: float) -> None:
        if not select.select([self._notices], [], [], seconds)[0]:
            return
        piece = os.read(self._notices, _PIECE_BYTES)
        if not piece:
            time.sleep(seconds)  # the one beside this process is gone
            return
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                self._losses.append(_Loss.model_validate_json(line))

    def knows_of(self, rank: int) -> bool:
        """Whether this process was told that another one ended."""
        return any(one.rank == rank for one in self._losses)


_here: list[_Watched] = []


@contextmanager
def seen_by_others() -> Iterator[None]:
    """Has the end of this process seen from outside, behind the block as well; those of the others become known here.

    Nothing is started where this is the only process, or the one that started it sees its end.
    """
    several = is_one_of_several(os.environ) and os.name == "posix" and SEEN_BY_PARENT not in os.environ
    if not several:
        yield
        return
    with suppress(OSError):  # the system allows no further process or socket; the run goes on without
        _here.append(_Watched(os.environ))
    note_spoken(is_over=False)
    for one in _here:
        ask_about_losses(one.loss)
    if is_follower(os.environ) and not faulthandler.is_enabled():  # the first one has a file for it, beside its run
        faulthandler.enable()
    try:
        yield
    except BaseException as error:
        is_about_to_end(error.exit_code if isinstance(error, Refusal) else ExitCode.COULD_NOT_WORK)
        raise
    is_about_to_end(ExitCode.FINE)


def is_about_to_end(code: int) -> None:
    """Says that this process ends by itself, and how, which it may still explain on standard error."""
    for one in _here:
        one.tell({"ended": 0 if code == ExitCode.PROCESS_LOST else code})


def let_others_know(store: Any) -> None:
    """Tells the others, over the store at which they meet, where ends become known; the first process does."""
    for one in _here:
        one.let_others_know(store)


def know_others(store: Any) -> None:
    """Reads from the store where ends become known, if it is there."""
    for one in _here:
        one.know_others(store)


def first_is_lost() -> bool:
    """Whether the first process, which speaks for all, is known to be gone."""
    return any(one.knows_of(0) for one in _here)
