"""What starts the processes of a run: one card each, with the variables by which a process knows it.

To add a launcher, write its card here. What each process of a run is, and what the record says of what started it,
follows from that.
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
    "Numbering",
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


class Numbering(NamedTuple):
    """In which variables a launcher says which process this one is, where torchrun's own names aren't its.

    Attributes:
        rank: Variable with the process's number.
        local: The same with its number on its machine.
        group: The same with its machine's number, or empty.
        nodes: Variables with the list of machines, on the first of which the processes meet; the first one that is set
            counts. Empty where `MASTER_ADDR` has to say it.
        step: Variables that together name what was started, so that others on these machines meet elsewhere.
    """

    rank: str
    local: str
    group: str
    nodes: tuple[str, ...]
    step: tuple[str, ...]


class LauncherCard(NamedTuple):
    """One way in which processes of a run are started.

    Attributes:
        kind: What the record calls it.
        marks: Variables that a process has only under it; several where one alone may come from elsewhere.
        size: Variable with the number of processes, of which one alone counts as started by nobody; or empty.
        numbering: How it numbers processes; None where it says that as torchrun does.
        version: Variable with its version, or empty.
        package: Package whose version it is, or empty.
        job: Variable with the job's name, or empty.
        is_cluster: Whether that name counts where a scheduler has one, too.
        restart: Variable with how often the job was started again, or empty.
    """

    kind: LauncherKind
    marks: tuple[str, ...]
    size: str
    numbering: Numbering | None
    version: str
    package: str
    job: str
    is_cluster: bool
    restart: str

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether it started the process of an environment."""
        is_alone = bool(self.size) and environ.get(self.size, "1") in _WITHOUT
        return all(mark in environ for mark in self.marks) and not is_alone


def _silent(
    kind: LauncherKind, marks: tuple[str, ...], size: str = "", numbering: Numbering | None = None
) -> LauncherCard:
    """A launcher that says of itself neither version nor job."""
    return LauncherCard(kind, marks, size, numbering, version="", package="", job="", is_cluster=False, restart="")


def _numbering(rank: str, local: str) -> Numbering:
    """How a launcher numbers processes that doesn't say where they meet."""
    return Numbering(rank, local, group="", nodes=(), step=())


LAUNCHERS: tuple[LauncherCard, ...] = (
    LauncherCard(
        kind="ray",
        marks=(RAY_JOB,),
        size="",
        numbering=None,
        version=RAY_VERSION,
        package="",
        job=RAY_JOB,
        is_cluster=True,
        restart="",
    ),
    LauncherCard(
        kind="torchrun",
        marks=("TORCHELASTIC_RUN_ID",),
        size="",
        numbering=None,
        version="",
        package="torch",
        job="TORCHELASTIC_RUN_ID",
        is_cluster=False,
        restart="TORCHELASTIC_RESTART_COUNT",
    ),
    _silent("ftc", (SEEN_BY_PARENT,)),
    # `mpirun` and Hydra's `mpiexec` start their helpers by `srun` where there is Slurm: these have other numbers.
    _silent(
        "openmpi",
        ("OMPI_COMM_WORLD_RANK",),
        "OMPI_COMM_WORLD_SIZE",
        _numbering("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ),
    _silent("mpich", ("PMI_RANK", "MPI_LOCALRANKID"), "PMI_SIZE", _numbering("PMI_RANK", "MPI_LOCALRANKID")),
    _silent(
        "slurm",
        ("SLURM_STEP_NUM_TASKS",),
        "SLURM_STEP_NUM_TASKS",
        Numbering(
            rank="SLURM_PROCID",
            local="SLURM_LOCALID",
            group="SLURM_NODEID",
            nodes=("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"),
            step=("SLURM_JOB_ID", "SLURM_STEP_ID"),
        ),
    ),
    _silent("mpich", ("PMI_RANK",), "PMI_SIZE", _numbering("PMI_RANK", "MPI_LOCALRANKID")),
    _silent("kubeflow", ("PET_NNODES", "RANK")),
    _silent("environment", ("RANK",), "WORLD_SIZE"),
)
"""The first one that is there counts: launchers start each other, and say what they are in this order."""


class SchedulerCard(NamedTuple):
    """What gives a run its machines.

    Attributes:
        kind: What the record calls it.
        marks: Variables of which a process under it has one.
        job: Variable with the job's name, or empty.
        restart: Variable with how often the job was started again, or empty.
        first: How often it was where that variable isn't set; None where nobody knows.
    """

    kind: SchedulerKind
    marks: tuple[str, ...]
    job: str
    restart: str
    first: str | None


SCHEDULERS: tuple[SchedulerCard, ...] = (
    SchedulerCard("slurm", ("SLURM_JOB_ID",), job="SLURM_JOB_ID", restart="SLURM_RESTART_COUNT", first="0"),
    SchedulerCard("skypilot", ("SKYPILOT_TASK_ID",), job="SKYPILOT_TASK_ID", restart="", first=None),
    SchedulerCard("kubernetes", ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"), job="", restart="", first=None),
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
    return next((one for one in LAUNCHERS if one.numbering and one.is_here(environ)), None)
