"""The processes of one machine under torch's elastic agent, whose own texts are left out: it knows how they ended."""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.runtime.execution.lost_processes import SPOKEN, how_it_ended, lost, may_be_retried, process
from ftc.spec.diagnostics import Refusal
from ftc.spec.exit_codes import ExitCode

__all__ = ["run_agent"]

_LOOPBACK = "127.0.0.1"
_STOPPED = -15
"""How the agent ends the others once one has failed."""


def run_agent(words: Sequence[str], *, nodes: int, devices: int, head: str | None, name: str, restarts: int) -> int:
    """Starts this machine's processes, waits for them, and gives the exit code of the run.

    Args:
        words: What each process is called with, behind `ftc`.
        nodes: Machines of the run.
        devices: Processes of each of them.
        head: Where the machines meet, as `HOST:PORT`; None for a run on this machine alone.
        name: The run's name among those that meet there.
        restarts: How often the processes are started again after one was lost.

    Raises:
        Refusal: A process was lost (FTC644).
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, launch_agent

    logging.disable(logging.CRITICAL)  # torch's loggers have levels of their own, and this process has no others
    is_here = head is None or head.startswith((f"{_LOOPBACK}:", "localhost:"))
    with tempfile.TemporaryDirectory(prefix="ftc-launch-") as folder:
        os.environ[SPOKEN] = str(spoken := Path(folder) / "spoken")
        quiet = dict.fromkeys(range(1, devices), Std.ALL)  # the first one shows what all of them do
        config = LaunchConfig(
            min_nodes=nodes,
            max_nodes=nodes,
            nproc_per_node=devices,
            run_id=name,
            rdzv_backend="c10d",
            rdzv_endpoint=head or f"{_LOOPBACK}:0",
            max_restarts=restarts,
            monitor_interval=0.5,
            local_addr=_LOOPBACK if is_here else None,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=quiet),
        )
        try:
            launch_agent(config, sys.executable, ["-P", "-m", "ftc", *words])
        except ChildFailedError as error:
            if spoken.exists():
                return ExitCode.PROCESS_LOST
            return _failed(error.failures, Path(folder))
        except SignalException as error:
            return ExitCode.SIGNALED + int(error.sigval)
        except (RuntimeError, OSError) as error:  # of the machines' meeting; torch has many types for it
            raise Refusal([lost("another machine", str(error).partition("\n")[0])]) from error
        finally:
            del os.environ[SPOKEN]
            logging.disable(logging.NOTSET)
    return ExitCode.FINE


def _failed(failures: Mapping[int, Any], logs: Path) -> int:
    """The exit code of a run of which processes failed.

    Raises:
        Refusal: One was killed, or ended with a code that is none of ftc's (FTC644).
    """
    rank, failure = min(failures.items(), key=lambda item: (_consequence(item[1].exitcode), item[1].timestamp))
    output = _last_lines(logs, failure.local_rank)
    if failure.exitcode < 0:
        raise Refusal([lost(process(rank, platform.node()), how_it_ended(failure.exitcode), output)])
    if output:
        sys.stderr.write("\n".join([f"process {rank} ended with exit code {failure.exitcode}:", *output]) + "\n")
    return ExitCode.PROCESS_LOST if may_be_retried(failure.exitcode) else int(failure.exitcode)


def _consequence(code: int) -> int:
    """How likely a process ended for another one's sake: one that was killed did not, one that was stopped did."""
    if code == _STOPPED:
        return 3
    return 2 if code == ExitCode.PROCESS_LOST else 1 if code > 0 else 0


def _last_lines(logs: Path, local_rank: int) -> list[str]:
    """What a process of this machine wrote last to standard error; nothing of the one that writes to the terminal."""
    found = sorted(logs.glob(f"*/attempt_*/{local_rank}/stderr.log"), key=lambda file: file.stat().st_mtime)
    lines = found[-1].read_text(encoding="utf-8", errors="replace").splitlines() if found else []
    return [line.rstrip() for line in lines if line.strip()][-8:]
