"""The segments of a run, which an interruption parts, and the processes that did each of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document
from ftc.spec.documents.interruption import StopKind

__all__ = ["Launcher", "ProcessSeen", "Segment"]


class ProcessSeen(Document):
    """What one process of a run found. All processes have the same digests, or none of them trains."""

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

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Launcher(Document):
    """What started the processes of a segment, as the environment says it."""

    kind: Literal["ftc", "torchrun", "slurm", "mpi", "ray"]
    """`ftc`: `ftc apply` started them on its own machine. `slurm`: `srun`. `ray`: a worker of Ray Train each."""
    version: str | None = None
    """None where it doesn't say."""
    scheduler: Literal["slurm", "kubernetes", "skypilot"] | None = None
    """What gave the machines; None where nothing says so."""
    job_id: str | None = None
    """The job's name there."""
    restart: int | None = None
    """How often the job was started again, as the launcher counts it; None where it doesn't."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Segment(Document):
    """One stretch of the run in the same processes."""

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

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name not in ("processes", "launcher") or value}
