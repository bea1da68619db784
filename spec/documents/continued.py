"""The run whose steps come first in a run that goes on with its work shared in another way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftc.spec.base import Document
from ftc.spec.knobs import KNOBS
from ftc.spec.names import FileName, InsidePath

__all__ = ["Continued", "free_to_change", "world_size_at"]


class Continued(Document):
    """Steps that another run did: the same rows in the same order, shared among other processes.

    Sums over rows are then added up in another order and dropout draws for other rows, so the bits are those of neither
    plan alone.
    """

    run_id: FileName
    folder: InsidePath
    """Its folder, relative to the project's root."""
    job_sha256: str
    plan_sha256: str
    record_sha256: str
    """Digest of its record as it was found."""
    step: int
    """Steps that it did, and from whose checkpoint this run goes on."""
    weights_sha256: str
    """Content digest of the trainable weights behind that step."""
    segments: int
    """How many of the record's first segments are its own."""
    world_size: int
    """Processes that shared the rows of each of its steps."""
    nodes: int
    """Machines that they ran on."""
    sharding: str
    """How they held the model."""


def world_size_at(continued: Sequence[Continued], step: int, world_size: int) -> int:
    """How many processes shared a step, counted from 1.

    Args:
        continued: Of the record, in order.
        step: The step.
        world_size: Of the run's own plan.
    """
    return next((one.world_size for one in continued if step <= one.step), world_size)


_DEVICE = ("device.count", "device.name", "device.threads", "train.nodes", "train.save_in_background")


def free_to_change(job: Mapping[str, Any]) -> Iterator[str]:
    """Paths in what a plan executes that say how a step's work is shared, and not what is computed.

    Args:
        job: See `Plan.job`.
    """
    yield from (f"settings.{path}" for knob in KNOBS if knob.follows_device for path in knob.settings)
    yield from (f"settings.{path}" for path in _DEVICE)
    yield from (f"steps.{number}.files" for number, _ in enumerate(job["steps"]))
