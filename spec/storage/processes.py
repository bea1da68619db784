"""What the environment of a run's processes says: which of several this is, and what must hold before Python starts."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic

__all__ = ["PINNED", "contract", "is_follower", "is_one_of_several", "machine_name", "unpinned"]

_FIRST_HOST = re.compile(r"([^,\[\]]+)(?:\[([^\],-]+)[^\]]*\]([^,\[\]]*))?")
"""The first name of a Slurm node list, such as `gpu[003-004,7]` or `a1,b2`."""
_PORTS = range(20_000, 40_000)
"""Where the processes of a Slurm step meet: below the ports that systems hand out by themselves, mostly."""


def is_follower(environ: Mapping[str, str]) -> bool:
    """Whether another process of the same run is its first one, which alone writes and speaks."""
    return environ.get("RANK", "0") not in ("", "0")


def is_one_of_several(environ: Mapping[str, str]) -> bool:
    """Whether a launcher has started further processes of the same run."""
    return environ.get("WORLD_SIZE", "1") not in ("", "0", "1")


def machine_name(environ: Mapping[str, str]) -> str:
    """The machine of a process, as its launcher counts it: agents of several machines may share a host."""
    group = environ.get("GROUP_RANK")
    return platform.node() if group is None else f"machine {group}, {platform.node()}"


def contract(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of torchrun's contract that another launcher gives under its own names.

    A process of `srun` finds the others by the first host of its step. Inside an allocation but outside of a step, as
    in a batch script's own lines, there is one process.

    Returns:
        What to add to the environment; empty where nothing is missing.

    Raises:
        Refusal: A launcher started several processes and doesn't say which this one is or where they meet (FTC703).
    """
    added = _of_other_launchers(environ)
    if is_one_of_several(whole := {**environ, **added}) and (wrong := _misfit(whole)):
        raise Refusal([_unconnected(whole["WORLD_SIZE"], wrong)])
    return added


def _misfit(environ: Mapping[str, str]) -> str:
    """What torchrun's contract says of several processes and this environment doesn't; empty where it holds."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        value = environ.get(name, "")
        if not (value.isascii() and value.isdecimal()):
            return f"`{name}` is `{value}`, which is no number" if value else f"`{name}` is not set"
    if int(environ["RANK"]) >= int(environ["WORLD_SIZE"]):
        return f"`RANK` is {environ['RANK']} of {environ['WORLD_SIZE']} processes, which are counted from 0"
    return "" if environ.get("MASTER_ADDR") else "`MASTER_ADDR` is not set"


def _of_other_launchers(environ: Mapping[str, str]) -> dict[str, str]:
    """What `srun` and MPI say of a process, by torchrun's names."""
    if "RANK" in environ:
        return {}
    if (tasks := environ.get("SLURM_STEP_NUM_TASKS", "1")) not in ("", "1"):
        return _of_slurm(environ, tasks)
    for rank, size, local in (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ):
        if rank in environ and environ.get(size, "1") not in ("", "1"):
            return {
                "RANK": environ[rank],
                "WORLD_SIZE": environ[size],
                "LOCAL_RANK": environ.get(local, environ[rank]),
            }
    return {}


def _of_slurm(environ: Mapping[str, str], tasks: str) -> dict[str, str]:
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST", "")
    first = _FIRST_HOST.match(nodes)
    if first is None or "SLURM_PROCID" not in environ:
        raise Refusal([_unconnected(tasks, "the step's list of machines can't be read")])
    step = f"{environ.get('SLURM_JOB_ID', '0')}{environ.get('SLURM_STEP_ID', '0')}"
    port = _PORTS[int(re.sub(r"\D", "", step) or "0") % len(_PORTS)]
    own = {
        "RANK": environ["SLURM_PROCID"],
        "WORLD_SIZE": tasks,
        "LOCAL_RANK": environ.get("SLURM_LOCALID", "0"),
        "GROUP_RANK": environ.get("SLURM_NODEID", "0"),
        "MASTER_ADDR": f"{first[1]}{first[2] or ''}{first[3] or ''}",
        "MASTER_PORT": str(port),
    }
    return {
        name: value
        for name, value in own.items()
        if name not in ("MASTER_ADDR", "MASTER_PORT") or not environ.get(name)
    }


def _unconnected(count: str, why: str) -> Diagnostic:
    return diagnostic(
        "FTC703",
        f"a launcher started {count} processes, and doesn't say which this one is or where they meet",
        notes=why,
        help="start them through torchrun, or set `MASTER_ADDR` and `MASTER_PORT` for all of them, and `RANK` for each",
    )


PINNED = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    "MKL_DYNAMIC": "FALSE",
    "NCCL_ALGO": "Ring",
    "NVIDIA_TF32_OVERRIDE": "0",
    "OMP_DYNAMIC": "FALSE",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Read once, when an interpreter, a pool of threads or a card starts; set later, they change nothing, in silence."""


def unpinned(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not as they must be, with what they must be."""
    return {name: value for name, value in PINNED.items() if environ.get(name) != value}
