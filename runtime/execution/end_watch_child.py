"""The process beside one process of a run: it passes on what that one writes to standard error, and sees its end.

Those beside the others have a connection to the one beside the first process, over which the end of one becomes known
to all. It is started by its path and imports the standard library alone, so that it costs a run a few milliseconds.
"""

from __future__ import annotations

import hmac
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_TAIL_BYTES = 65536
_MOST_LINES, _MOST_WIDTH = 8, 500
_FAULT, _IN_THREAD = "Fatal Python error: ", "Current thread "
_PIECE_BYTES = 65536
_LONGEST_MESSAGE = 65536
_CONNECT_SECONDS = 10.0
_FLUSH_SECONDS = 5.0
"""How long standard error may stay open behind its process, in whose place another one may still say something."""
_ANSWER_SECONDS = 30.0
"""How long what was seen stays to be had from the one beside the first process, once that one is gone."""
_MOST_LOSSES = 16


class _Lines:
    """What comes in pieces, as lines."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, piece: bytes) -> list[Any]:
        """The messages that a piece completes.

        Raises:
            ValueError: That is none.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_MESSAGE:
            raise ValueError("a message without an end")
        return [json.loads(line) for line in lines]


class _Watch:
    """One process as it is seen from outside.

    Args:
        told: What it says of itself first: its number, machine and id, and the ends of pipes and sockets.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self._rank, self._host, self._process = int(told["rank"]), str(told["host"]), int(told["pid"])
        self._token = str(told["token"])
        self._output: int | None = told.get("output")
        self._notices = int(told["notices"])
        self._tail = b""
        self._ended: int | None = None
        self._is_over = False
        self._losses: list[bytes] = []
        self._hub: socket.socket | None = None
        self._place: tuple[str, int] | None = None
        self._peers: dict[socket.socket, tuple[_Lines, bool]] = {}
        self._had_peers = False
        self._is_first = "listens" in told
        self._events = selectors.DefaultSelector()
        self._control = _Lines()
        self._watches_process = False
        self._register(told)

    def _register(self, told: dict[str, Any]) -> None:
        os.set_blocking(self._notices, False)
        self._on(0, self._hear)
        if self._output is not None:
            os.set_blocking(self._output, False)
            self._on(self._output, self._pass_on)
        if "listens" in told:
            listens = socket.socket(fileno=told["listens"])
            self._on(listens, lambda: self._accept(listens))
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._on(os.pidfd_open(self._process), self._see_end)
                self._watches_process = True

    def _on(self, file: Any, act: Callable[[], None]) -> None:
        self._events.register(file, selectors.EVENT_READ, act)

    def run(self) -> None:
        """Watches until the process is gone and what is to be said of it has been."""
        while not self._is_over:
            self._step(None)
        ends = time.monotonic() + (_ANSWER_SECONDS if self._is_first and self._losses else _FLUSH_SECONDS)
        while time.monotonic() < ends and (self._output is not None or self._is_asked()):
            self._step(ends - time.monotonic())

    def _is_asked(self) -> bool:
        """Whether others may still want to know what was seen."""
        return bool(self._is_first and self._losses and (self._peers or not self._had_peers))

    def _step(self, seconds: float | None) -> None:
        for key, _ in self._events.select(seconds):
            key.data()

    def _hear(self) -> None:
        """What the process itself says: where the others' ends are known, and with what code it is about to end."""
        piece = os.read(0, _PIECE_BYTES)
        if not piece:
            self._events.unregister(0)
            if not self._watches_process:
                self._see_end()
            return
        for message in self._control.of(piece):
            if "ended" in message:
                self._ended = int(message["ended"])
            else:
                self._place, self._token = (str(message["host"]), int(message["port"])), str(message["token"])
                self._connect()

    def _pass_on(self) -> None:
        while self._output is not None:
            try:
                piece = os.read(self._output, _PIECE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                self._events.unregister(self._output)
                self._output = None
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # whoever reads it is not kept waiting
                return
            self._tail = (self._tail + piece)[-_TAIL_BYTES:]
            with suppress(OSError):
                _write(2, piece)

    def _see_end(self) -> None:
        """The process is gone."""
        status = self._ended if self._ended is not None else _status(self._process)
        self._is_over = True
        with suppress(KeyError, ValueError):
            for file in [key.fileobj for key in self._events.get_map().values() if key.data == self._see_end]:
                self._events.unregister(file)
        self._pass_on()
        if status == 0:
            return
        lines = _telling(self._tail.decode(errors="replace").splitlines())
        loss = {"rank": self._rank, "host": self._host, "status": status, "lines": lines}
        message = json.dumps(loss).encode() + b"\n"
        self._losses.append(message)
        if self._is_first:
            self._tell_peers(message)
        elif not self._say(message):
            self._connect()
            self._say(message)

    def _connect(self) -> None:
        """Reaches the one beside the first process, and says who this is."""
        if self._place is None:
            return
        try:
            self._hub = socket.create_connection(self._place, timeout=_CONNECT_SECONDS)
            self._hub.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError:
            self._hub = None
            return
        self._say(json.dumps({"token": self._token}).encode() + b"\n")
        hub, lines = self._hub, _Lines()
        self._on(hub, lambda: self._listen(hub, lines))

    def _say(self, message: bytes) -> bool:
        if self._hub is None:
            return False
        try:
            self._hub.sendall(message)
        except OSError:
            return False
        return True

    def _listen(self, hub: socket.socket, lines: _Lines) -> None:
        try:
            piece = hub.recv(_PIECE_BYTES)
            messages = lines.of(piece)
        except (OSError, ValueError):
            piece, messages = b"", []
        for message in messages:
            self._note(json.dumps(message).encode() + b"\n")
        if not piece:
            self._events.unregister(hub)
            hub.close()
            self._hub = None

    def _note(self, message: bytes) -> None:
        """Tells the process of another one's end."""
        if len(self._losses) < _MOST_LOSSES and not self._is_over:
            with suppress(OSError):
                os.write(self._notices, message)

    def _accept(self, listens: socket.socket) -> None:
        with suppress(OSError):
            peer, _ = listens.accept()
            peer.settimeout(_CONNECT_SECONDS)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._peers[peer] = _Lines(), False
            self._on(peer, lambda: self._hear_peer(peer))

    def _hear_peer(self, peer: socket.socket) -> None:
        """Messages of another one: the secret first, then how its process ended, which is sent to all others."""
        lines, is_known = self._peers[peer]
        try:
            piece = peer.recv(_PIECE_BYTES)
            messages = lines.of(piece)
            if messages and not is_known:
                hello = messages.pop(0)
                if not hmac.compare_digest(str(hello["token"]), self._token):
                    raise ValueError("a stranger")
                self._peers[peer] = lines, True
                self._had_peers = True
                for loss in self._losses:
                    peer.sendall(loss)
        except (OSError, ValueError, LookupError, TypeError):
            piece, messages = b"", []
        for message in messages[:_MOST_LOSSES]:
            loss = json.dumps(message).encode() + b"\n"
            self._note(loss)
            if len(self._losses) < _MOST_LOSSES:
                self._losses.append(loss)
                self._tell_peers(loss, but=peer)
        if not piece:
            self._forget(peer)

    def _tell_peers(self, message: bytes, but: socket.socket | None = None) -> None:
        for peer, (_, is_known) in [*self._peers.items()]:
            if peer is not but and is_known:
                try:
                    peer.sendall(message)
                except OSError:
                    self._forget(peer)

    def _forget(self, peer: socket.socket) -> None:
        if self._peers.pop(peer, None) is not None:
            self._events.unregister(peer)
            peer.close()


def _telling(written: list[str]) -> list[str]:
    """The lines of what a process wrote that say most of its end: the last ones, or which fault Python met, where."""
    lines = [line.rstrip()[:_MOST_WIDTH] for line in written if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith(_FAULT):
            where = next((at for at in range(number, len(lines)) if lines[at].startswith(_IN_THREAD)), number)
            return [line, *lines[where + 1 : where + _MOST_LINES]]
    return lines[-_MOST_LINES:]


def _write(file: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(file, piece) :]


def _status(process: int) -> int | None:
    """How a process ended, as `subprocess` says it; None where its parent has asked already."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        if fields[0] in "ZX":
            return os.waitstatus_to_exitcode(int(fields[49])) or None
    return None


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends behind its process
    _first = bytearray()
    while not _first.endswith(b"\n"):  # no byte further: the rest is read as it comes
        _byte = os.read(0, 1)
        if not _byte:
            sys.exit()
        _first += _byte
    _Watch(json.loads(_first)).run()
