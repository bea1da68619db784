"""The other processes of a run that several devices share: `ftc apply` starts them, and is the first one itself.

They get the same words and find the same plan; what launchers such as torchrun say in the environment is said here.
Where a launcher has said it already, nothing is started.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

__all__ = ["companions", "needs_companions"]

_END_SECONDS = 60.0
"""How long one that is done, or was told to end, may take until it is gone."""
_GRACE_SECONDS = 30.0
"""How long this process may go on without another one that has failed, which it notices by the next exchange."""


def needs_companions(world_size: int, environ: Mapping[str, str]) -> bool:
    """Whether a run's other processes are to be started: there are some, and no launcher has."""
    return world_size > 1 and "RANK" not in environ and find_spec("torch") is not None


@contextmanager
def companions(world_size: int, words: Sequence[str]) -> Iterator[None]:
    """Starts a run's other processes, and makes this one the first; when the block ends they do.

    Args:
        world_size: Processes of the run.
        words: What comes behind `ftc`, for all of them.
    """
    shared = {"WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    is_over = threading.Event()
    others = [_started(words, shared, rank) for rank in range(1, world_size)]
    for rank, other in enumerate(others, start=1):
        threading.Thread(target=_watch, args=(rank, other, is_over), daemon=True).start()
    own = {**shared, **_named(0)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
        is_over.set()
    except BaseException:
        is_over.set()
        for other in others:
            other.terminate()
        raise
    finally:
        for other in others:
            _ended(other)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _started(words: Sequence[str], shared: Mapping[str, str], rank: int) -> subprocess.Popen[bytes]:
    # -P: a module in the working folder must not take the place of an installed one.
    command = [sys.executable, "-P", "-m", "ftc", *words]
    environment = {**os.environ, **shared, **_named(rank)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)


def _named(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _watch(rank: int, other: subprocess.Popen[bytes], is_over: threading.Event) -> None:
    """Ends this process where another one has failed and this one waits for it."""
    if other.wait() == 0 or is_over.wait(_GRACE_SECONDS):
        return
    from ftc.runtime.execution.accelerator import lost
    from ftc.runtime.execution.last_words import dismiss_witnesses

    dismiss_witnesses()
    finding = lost(f"process {rank}", f"it ended with status {other.returncode}")
    sys.stderr.write(f"error[{finding.code}]: {finding.summary}\n  = help: {finding.help[0]}\n")
    sys.stderr.flush()
    os._exit(1)


def _ended(other: subprocess.Popen[bytes]) -> None:
    try:
        other.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()
