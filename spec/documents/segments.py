"""The segments of a run, which an interruption parts, and the processes that did each of them."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.base import SparseDocument
from ftc.spec.documents.interruption import StopKind
from ftc.spec.launchers import LauncherKind, SchedulerKind

__all__ = ["Launcher", "ProcessSeen", "Segment"]


class ProcessSeen(SparseDocument):
    """What one process of a run found. All processes have the same digests, or none of them trains."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = (
        "local_rank",
        "host",
        "driver",
        "job_sha256",
        "packages_sha256",
        "inputs_sha256",
    )

    rank: int
    local_rank: int | None = None
    """Its number on its machine; None in records of earlier releases, as all fields with this default."""
    host: str | None = None
    """Name of its machine."""
    device: str
    driver: str | None = None
    """Version of the GPU's driver; None without a GPU."""
    machine_sha256: str
    """Digest of its machine's class."""
    ftc_sha256: str
    """Digest of its code of ftc."""
    job_sha256: str | None = None
    """Digest of the job that it was given."""
    packages_sha256: str | None = None
    """Digest of its packages."""
    inputs_sha256: str | None = None
    """Digest over the digests of the model files and token streams that it read; None where it ended before."""


class Launcher(SparseDocument):
    """What started the processes of a segment, as the environment says it."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("version", "scheduler", "job_id", "restart")

    kind: LauncherKind | Literal["mpi"]
    """`ftc`: `ftc apply` started them on its own machine. `slurm`: `srun`. `openmpi`: `mpirun` of Open MPI. `mpich`: a
    launcher that speaks PMI, as those of MPICH and Intel MPI. `ray`: a worker of Ray Train each. `kubeflow`: its
    training operator, without torchrun. `environment`: something else that sets `RANK` and `WORLD_SIZE`, and doesn't
    say what it is. `mpi`: either kind of MPI, in earlier records."""
    version: str | None = None
    """None where it doesn't say."""
    scheduler: SchedulerKind | None = None
    """What gave the machines; None where nothing says so."""
    job_id: str | None = None
    """The job's name there."""
    restart: int | None = None
    """How often the job was started again, as the launcher counts it; None where it doesn't."""


class Segment(SparseDocument):
    """One stretch of the run in the same processes."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("processes", "launcher")

    started_at: str
    """UTC, ISO 8601."""
    ended_at: str | None
    from_step: int
    """Steps that were done when it began."""
    to_step: int
    """Steps that were done when it ended."""
    ended_by: StopKind | Literal["finished", "failed", "early_stop"] | None
    machine_sha256: str
    """Digest of the class of the machine that it ran on: a run may be resumed on another one. Empty where the record
    was lost and made again from what lay beside it."""
    ftc_sha256: str
    """Digest of ftc's own files that it ran with; empty as above."""
    processes: tuple[ProcessSeen, ...] = ()
    """Every process of a run of several, by rank; absent from the document where there is one, and in older records."""
    launcher: Launcher | None = None
    """None where `ftc apply` is the only process and no scheduler started it, and in older records."""
