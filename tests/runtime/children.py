"""Jobs one after the other in each of several processes: `python -m tests.runtime.children ROOT JOBS`.

`JOBS` is a list in JSON, an entry a job: its name, kind of model, strategy, number of classes and changes; with
`stop_at` it is asked to stop behind that step, and goes on at once. Loading the libraries takes most of such a test, so
that several jobs share one start.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ftc.runtime.execution.execute import execute
from ftc.runtime.models import build_model
from ftc.runtime.models.base_model import FolderBase
from ftc.spec.documents.events import Event, StepDone
from tests.runtime.jobs import reopen_job

__all__ = ["together"]


def main() -> int:
    """Runs the jobs; with the exit code 0 when all of them are over."""
    warnings.simplefilter("error", UserWarning)
    root, jobs = sys.argv[1:]
    closes = os.environ["RANK"] != "0"
    with patch.object(build_model, "FolderBase", _Closed) if closes else nullcontext():
        return 0 if all(_run(Path(root), **job) == "finished" for job in json.loads(jobs)) else 3


class _Closed(FolderBase):
    """The folder of a model that is divided, which another process than the first has no need to read."""

    def load(self, kind: Any, options: dict[str, Any]) -> Any:  # noqa: ARG002
        raise AssertionError("one process reads a model that is divided")


def _run(
    root: Path, name: str, kind: str, strategy: str, classes: int, changes: dict[str, Any], stop_at: int | None
) -> str:
    job = reopen_job(root, kind, strategy, classes=classes, **_as_settings(changes))

    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    if stop_at is not None:
        assert execute(job.plan, job.inputs, job.folder(name), stop).status == "interrupted"
    return execute(job.plan, job.inputs, job.folder(name), lambda event: None).status


def _as_settings(value: Any) -> Any:
    """What JSON gives, with tuples for its lists."""
    if isinstance(value, dict):
        return {key: _as_settings(one) for key, one in value.items()}
    return tuple(map(_as_settings, value)) if isinstance(value, list) else value


def together(root: Path, jobs: list[dict[str, Any]], *, processes: int = 2, machines: int = 1) -> None:
    """Runs jobs in so many processes that are connected over the loopback.

    Args:
        root: Folder of the jobs.
        jobs: One after the other.
        processes: Of each machine.
        machines: Agents of torchrun, which are machines to it.
    """
    import subprocess

    from tests.launch.machines import free_port

    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", str(machines)),
        *("--nproc-per-node", str(processes), "--rdzv-backend", "c10d", "--rdzv-id", "t"),
        *("--rdzv-endpoint", f"127.0.0.1:{free_port() if machines > 1 else 0}", "--local-addr", "127.0.0.1"),
        *("-m", "tests.runtime.children", str(root), json.dumps(jobs)),
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    agents = [subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes) for _ in range(machines)]
    said = [agent.communicate()[1] for agent in agents]
    assert not any(agent.returncode for agent in agents), "\n".join(said)


if __name__ == "__main__":
    sys.exit(main())
