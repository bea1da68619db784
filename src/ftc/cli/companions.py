"""The other processes of a run that several devices share: `ftc apply` starts them, and is the first one itself.

They get the plan that was shown, by a file and its digest; what launchers such as torchrun say in the environment is
said here. Where a launcher has said it already, nothing is started.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic
    from ftc.verbs.plan import Planned

__all__ = ["companions", "handed_down", "needs_companions"]

_END_SECONDS = 60.0
"""How long one that is done, or was told to end, may take until it is gone."""
_GRACE_SECONDS = 30.0
"""How long this process may go on without another one that has failed, which it notices by the next exchange."""
_KEPT_LINES = 40


def needs_companions(world_size: int, environ: Mapping[str, str]) -> bool:
    """Whether a run's other processes are to be started: there are some, and no launcher has."""
    return world_size > 1 and "RANK" not in environ and find_spec("torch") is not None


@contextmanager
def handed_down(planned: Planned) -> Iterator[str]:
    """A file of the plan for other processes, in its project, while the block runs."""
    import tempfile

    folder = planned.root / ".ftc"
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, prefix=".tmp-", suffix=".plan.json", encoding="utf-8", newline="\n"
    ) as file:
        file.write(planned.plan.to_text())
        file.flush()
        yield file.name


class _Companion:
    """One of the other processes, and the last lines that it wrote."""

    def __init__(self, words: Sequence[str], shared: Mapping[str, str], rank: int) -> None:
        self.rank = rank
        # -P: a module in the working folder must not take the place of an installed one.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ftc", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **shared, **_named(rank)},
            encoding="utf-8",
            errors="replace",
        )
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self._lines.extend(line.rstrip() for line in lines if line.strip())

    def loss(self) -> Diagnostic | None:
        """How it failed; None where it hasn't."""
        import platform

        from ftc.runtime.execution.lost_processes import how_it_ended, lost, process

        if not self.process.poll():
            return None
        self._reader.join(1.0)
        who = process(self.rank, platform.node())
        return lost(who, how_it_ended(self.process.returncode), list(self._lines))

    def end(self) -> None:
        """Waits until it is gone."""
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def companions(world_size: int, words: Sequence[str]) -> Iterator[None]:
    """Starts a run's other processes, and makes this one the first; when the block ends they do.

    Args:
        world_size: Processes of the run.
        words: What comes behind `ftc`, for the others.
    """
    from ftc.runtime.execution.lost_processes import ask_about_losses
    from ftc.runtime.execution.meeting_store import STORE_FD
    from ftc.spec.launchers import SEEN_BY_PARENT

    meeting = socket.create_server(("127.0.0.1", 0))  # open from now on, so that nobody else can take the port
    port = str(meeting.getsockname()[1])
    # As under torchrun, the store is there before the processes, and no process makes another one.
    shared = {
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        SEEN_BY_PARENT: "1",
    }
    is_over = threading.Event()
    others = [_Companion(words, shared, rank) for rank in range(1, world_size)]
    for other in others:
        threading.Thread(target=_watch, args=(other, is_over), daemon=True).start()
    ask_about_losses(lambda seconds: _first_loss(others, seconds))
    own = {**shared, **_named(0), STORE_FD: str(meeting.detach())}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
        is_over.set()
    except BaseException:
        is_over.set()
        for other in others:
            other.process.terminate()
        raise
    finally:
        for other in others:
            other.end()
        ask_about_losses(None)
        if STORE_FD in os.environ:  # the run ended before the processes met
            os.close(int(os.environ[STORE_FD]))
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _named(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _first_loss(others: Sequence[_Companion], seconds: float) -> Diagnostic | None:
    """How one of them failed, within a time; one that was killed comes before those that failed for its sake."""
    import time

    ends = time.monotonic() + seconds
    while True:
        failed = sorted((one for one in others if one.process.poll()), key=lambda one: one.process.returncode >= 0)
        if failed:
            return failed[0].loss()
        if time.monotonic() >= ends:
            return None
        time.sleep(0.05)


def _watch(other: _Companion, is_over: threading.Event) -> None:
    """Ends this process where another one has failed and this one waits for it."""
    if other.process.wait() == 0 or is_over.wait(_GRACE_SECONDS):
        return
    from ftc.runtime.execution.lost_processes import end_now, may_be_retried
    from ftc.spec.exit_codes import ExitCode

    loss, code = other.loss(), other.process.returncode
    assert loss is not None
    end_now(loss, ExitCode.PROCESS_LOST if may_be_retried(code) else code)
