"""A run's processes under Ray Train: each of its workers starts one `ftc apply` of the plan, and tells how it ended.

Ray keeps no checkpoint of a run: it starts workers again, and ftc goes on from the newest checkpoint of its own. Ray's
own process group isn't made, since the workers compute nothing.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from ftc.runtime.execution.child_processes import ends_with_parent
from ftc.runtime.execution.lost_processes import how_it_ended, lost, may_be_retried, process
from ftc.runtime.execution.meeting_store import STORE_FD
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.exit_codes import ExitCode
from ftc.spec.launchers import RAY_JOB, RAY_VERSION

__all__ = ["LostWorkerError", "run_ray"]

_KEPT_LINES = 8
_END_SECONDS = 60.0


class LostWorkerError(RuntimeError):
    """A worker's process was lost, or ended so that it may be tried again.

    Args:
        rank: Its number in the run.
        code: Its exit status, as `subprocess` tells it.
        output: The last lines that it wrote.
        machine: Its machine's name.
    """

    def __init__(self, rank: int, code: int, output: tuple[str, ...], machine: str) -> None:
        super().__init__(rank, code, output, machine)
        self.rank, self.code, self.output, self.machine = rank, code, output, machine

    def __str__(self) -> str:
        return f"{process(self.rank, self.machine)} was lost: {how_it_ended(self.code)}"


def run_ray(job: Mapping[str, Any]) -> int:
    """Runs a plan by a `TorchTrainer` and gives the run's exit code.

    Args:
        job: What `ftc.verbs.ray_job.ray_job` gives.

    Raises:
        Refusal: Ray can't be reached or doesn't start (FTC708), this machine alone has too little (FTC623), or a
            process was lost (FTC644).
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    scaling, is_local = dict(job["scaling"]), job["address"] == "local"
    needed = {name: amount * scaling["num_workers"] for name, amount in scaling["resources_per_worker"].items()}
    if is_local:
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's workers would give way to anything else
    # Each line of the first process counts, also one that looks like another.
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    own: dict[str, Any] = {"num_cpus": needed["CPU"], "include_dashboard": False} if is_local else {}
    try:
        ray.init(address=job["address"], **own)
    except Exception as error:  # a node that starts slowly is told by a bare one
        where = "on this machine" if is_local else f"at {job['address']}"
        notes = [line for line in str(error).splitlines() if line.strip()][:5]
        help = "start it (`ray start --head`), or name the cluster with `--address`"
        raise Refusal([diagnostic("FTC708", f"there is no Ray {where}", notes=notes, help=help)]) from error
    try:
        if said := _lacking(ray.cluster_resources(), needed, scaling.get("accelerator_type")):
            if is_local:  # which never gets more; a cluster may grow
                help = "name a cluster that has them with `--address`, or plan again on this machine"
                raise Refusal([diagnostic("FTC623", f"Ray on this machine has {said}", help=help)])
            sys.stderr.write(f"Ray has {said}: it waits until there are more\n")
        told = {RAY_JOB: str(ray.get_runtime_context().get_job_id()), RAY_VERSION: str(ray.__version__)}
        trainer = TorchTrainer(
            _worker,
            train_loop_config={name: job[name] for name in ("folder", "words")} | {"env": {**job["env"], **told}},
            torch_config=_no_group(),
            scaling_config=ScalingConfig(**scaling),
            run_config=RunConfig(
                name=job["name"],
                storage_path=job["storage_path"],
                failure_config=FailureConfig(max_failures=job["max_failures"]),
            ),
        )
        return int(trainer.fit().return_value)
    except TrainingFailedError as error:
        raise Refusal([_finding(error)]) from error
    finally:
        ray.shutdown()


def _lacking(has: Mapping[str, float], needed: Mapping[str, float], accelerator: str | None) -> str | None:
    """What Ray has too little of, beside what the plan needs; None where it has enough.

    Args:
        has: Its resources by their names, among them the kinds of its GPUs.
        needed: By all workers together.
        accelerator: The kind of GPU that the site asks for; None for any.
    """
    for name, amount in needed.items():
        if has.get(name, 0) < amount:
            return f"{has.get(name, 0):g} {name}s, and the plan needs {amount:g}"
    if accelerator is not None and not has.get(f"accelerator_type:{accelerator}"):
        return f"no `{accelerator}`, which `ray.accelerator` asks for"
    return None


def _finding(error: Exception) -> Any:
    """Which process was lost, and how; a machine that is gone takes its worker along."""
    failures: Mapping[int, Any] = getattr(error, "worker_failures", {})
    found = {rank: _cause(failure) for rank, failure in sorted(failures.items())}
    ended = {rank: one for rank, one in found.items() if isinstance(one, LostWorkerError)}
    # One that was killed comes before those that failed for its sake, and Ray's own words before the latter.
    killed = next((one for one in ended.values() if one.code < 0), None)
    if killed is not None:
        return lost(process(killed.rank, killed.machine), how_it_ended(killed.code), killed.output)
    for rank, one in found.items():
        if not isinstance(one, LostWorkerError):
            return lost(process(rank), f"Ray says {type(one).__name__}: {str(one).partition(chr(10))[0]}")
    if ended:
        one = next(iter(ended.values()))
        return lost(process(one.rank, one.machine), how_it_ended(one.code), one.output)
    return lost("a part of Ray", str(error).partition("\n")[0])


def _cause(error: Any) -> Any:
    """What a worker raised, beneath what Ray puts around it."""
    while (inner := getattr(error, "cause", None)) is not None and isinstance(inner, BaseException):
        error = inner
    return error


def _no_group() -> Any:
    """Settings of Ray's torch workers that start no process group and use no GPU; all see those of their machine."""
    from ray.train.backend import Backend
    from ray.train.torch import TorchConfig

    class NoGroup(Backend):  # type: ignore[misc]
        share_cuda_visible_devices = True

    class NoGroupConfig(TorchConfig):  # type: ignore[misc]
        @property
        def backend_cls(self) -> type[Backend]:
            return NoGroup

        @property
        def train_func_context(self) -> Callable[[], Any]:
            return nullcontext

    return NoGroupConfig()


def _worker(config: Mapping[str, Any]) -> int:
    """What a worker of Ray runs: the plan in a process of its own. Gives its exit code, where that is final.

    Raises:
        LostWorkerError: It may be tried again.
    """
    from ray import train

    context = train.get_context()
    rank = int(context.get_world_rank())
    with socket.create_server(("", 0)) as meeting:  # open from now on, so that nobody else can take the port
        told = _contract(context, meeting)
        # Ray shows what workers write: the first process speaks for all.
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "ftc", *config["words"]],
            cwd=config["folder"],
            env={**os.environ, **told, **config["env"]},
            stdin=subprocess.DEVNULL,
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=None if rank == 0 else subprocess.PIPE,
            pass_fds=(meeting.fileno(),) if rank == 0 else (),
            preexec_fn=ends_with_parent(),  # noqa: PLW1509 - a call of the system
            encoding="utf-8",
            errors="replace",
        )
    output: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        if worker.stderr is not None:
            output.extend(line.rstrip() for line in worker.stderr if line.strip())
        code = worker.wait()
    except BaseException:
        worker.terminate()
        worker.wait(_END_SECONDS)
        raise
    if code != ExitCode.FINE and may_be_retried(code):
        raise LostWorkerError(rank, code, tuple(output), platform.node())
    return code


def _contract(context: Any, meeting: socket.socket) -> dict[str, str]:
    """torchrun's variables of a worker's process.

    Args:
        context: Ray's, of this worker.
        meeting: A socket that listens here; the one of the first process is where all find each other.
    """
    import ray
    from ray.train.collective import broadcast_from_rank_zero

    is_first = context.get_world_rank() == 0
    here = {"host": ray.util.get_node_ip_address(), "port": meeting.getsockname()[1]} if is_first else None
    place = broadcast_from_rank_zero(here)
    told = {
        "RANK": context.get_world_rank(),
        "WORLD_SIZE": context.get_world_size(),
        "LOCAL_RANK": context.get_local_rank(),
        "LOCAL_WORLD_SIZE": context.get_local_world_size(),
        "GROUP_RANK": context.get_node_rank(),
        "MASTER_ADDR": place["host"],
        "MASTER_PORT": place["port"],
        "TORCHELASTIC_USE_AGENT_STORE": True,  # the first process keeps the store at the open port, and all connect
        **({STORE_FD: meeting.fileno()} if is_first else {}),
    }
    return {name: str(value) for name, value in told.items()}
