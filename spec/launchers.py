"""What starts the processes of a run: one card each, with the variables by which a process knows it.

To add a launcher, write its card here. What a process of a run is, and what the record says of it, follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

__all__ = [
    "LAUNCHERS",
    "RAY_JOB",
    "RAY_VERSION",
    "SCHEDULERS",
    "SEEN_BY_PARENT",
    "LauncherCard",
    "LauncherKind",
    "SchedulerCard",
    "SchedulerKind",
    "launcher_card",
    "numbering_card",
    "scheduler_card",
]

LauncherKind = Literal["ftc", "torchrun", "slurm", "openmpi", "mpich", "ray", "kubeflow", "environment"]
SchedulerKind = Literal["slurm", "skypilot", "kubernetes"]

RAY_JOB, RAY_VERSION = "FTC_RAY_JOB", "FTC_RAY_VERSION"
"""What `ftc launch --on ray` says of the cluster to the processes that Ray's workers start."""
SEEN_BY_PARENT = "FTC_SEEN_BY_PARENT"
"""What `ftc apply` says to the processes of its own machine: it sees how they end."""
_WITHOUT = ("", "1")


class LauncherCard(NamedTuple):
    """One way in which processes of a run are started.

    Attributes:
        kind: What the record calls it.
        label: What people call it.
        marks: Variables that a process has only under it; several where one alone may come from elsewhere.
        rank: Variable with the process's number; empty where it speaks torchrun's own `RANK`.
        size: The same with the number of processes; of one, nobody is to be found.
        local: The same with the number on the machine.
        nodes: Variables with the list of its machines, where the processes meet on the first of them; the first that is
            set counts.
        group: Variable with the machine's number, where it has one.
        step: Variables that together name what it started, so that others on the same machines meet elsewhere.
        version: Variable with its version, or empty.
        package: Package whose version it is, where it is one.
        job: Variable with the job's name, or empty.
        is_cluster: Whether that name counts where a scheduler has one, too.
        restart: Variable with how often the job was started again, or empty.
    """

    kind: LauncherKind
    label: str
    marks: tuple[str, ...]
    rank: str = ""
    size: str = ""
    local: str = ""
    nodes: tuple[str, ...] = ()
    group: str = ""
    step: tuple[str, ...] = ()
    version: str = ""
    package: str = ""
    job: str = ""
    is_cluster: bool = False
    restart: str = ""

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether it started the process of an environment."""
        return all(mark in environ for mark in self.marks) and not (
            self.size and environ.get(self.size, "1") in _WITHOUT
        )


_OPEN_MPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
_PMI = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID")
LAUNCHERS: tuple[LauncherCard, ...] = (
    LauncherCard("ray", "Ray Train", (RAY_JOB,), version=RAY_VERSION, job=RAY_JOB, is_cluster=True),
    LauncherCard(
        "torchrun",
        "torchrun",
        ("TORCHELASTIC_RUN_ID",),
        package="torch",
        job="TORCHELASTIC_RUN_ID",
        restart="TORCHELASTIC_RESTART_COUNT",
    ),
    LauncherCard("ftc", "`ftc apply` itself", (SEEN_BY_PARENT,)),
    # `mpirun` starts its helpers by `srun` where there is Slurm: what these say of themselves is not the process's.
    LauncherCard("openmpi", "`mpirun` of Open MPI", _OPEN_MPI[:1], *_OPEN_MPI),
    LauncherCard("mpich", "`mpiexec` of MPICH or Intel MPI (Hydra)", ("PMI_RANK", "MPI_LOCALRANKID"), *_PMI),
    LauncherCard(
        "slurm",
        "`srun`",
        ("SLURM_STEP_NUM_TASKS",),
        *("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
        nodes=("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"),
        group="SLURM_NODEID",
        step=("SLURM_JOB_ID", "SLURM_STEP_ID"),
    ),
    LauncherCard("mpich", "another launcher that speaks PMI", _PMI[:1], *_PMI),
    LauncherCard("kubeflow", "a job of Kubeflow's training operator", ("PET_NNODES", "RANK")),
    LauncherCard("environment", "whatever sets `RANK` and `WORLD_SIZE`", ("RANK",), size="WORLD_SIZE"),
)
"""The first one that is there counts: launchers start each other, and say what they are in this order."""


class SchedulerCard(NamedTuple):
    """What gives a run its machines.

    Attributes:
        kind: What the record calls it.
        marks: Variables of which a process under it has one.
        job: Variables with the job's name; the first one that is set counts.
        restart: Variable with how often the job was started again, or empty.
        first: How often it was where that variable isn't set; None where nobody knows.
    """

    kind: SchedulerKind
    marks: tuple[str, ...]
    job: tuple[str, ...] = ()
    restart: str = ""
    first: str | None = None


SCHEDULERS: tuple[SchedulerCard, ...] = (
    SchedulerCard("slurm", ("SLURM_JOB_ID",), ("SLURM_JOB_ID",), "SLURM_RESTART_COUNT", "0"),
    SchedulerCard("skypilot", ("SKYPILOT_TASK_ID",), ("SKYPILOT_TASK_ID",)),
    SchedulerCard("kubernetes", ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX")),
)
"""The first one that is there counts: SkyPilot may run on Kubernetes."""


def launcher_card(environ: Mapping[str, str]) -> LauncherCard | None:
    """What started the process of an environment; None where nothing did but a shell, or a scheduler."""
    return next((one for one in LAUNCHERS if one.is_here(environ)), None)


def scheduler_card(environ: Mapping[str, str]) -> SchedulerCard | None:
    """What gave the process of an environment its machine; None where nothing says so."""
    return next((one for one in SCHEDULERS if any(mark in environ for mark in one.marks)), None)


def numbering_card(environ: Mapping[str, str]) -> LauncherCard | None:
    """What numbers the processes of an environment in its own words, which torchrun's `RANK` isn't among."""
    if "RANK" in environ:
        return None
    return next((one for one in LAUNCHERS if one.rank and one.is_here(environ)), None)
