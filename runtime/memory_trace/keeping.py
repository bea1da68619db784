"""Saving, resuming and writing the result on a model without memory: the run's own functions, watched.

A run copies its tensors to the processor one at a time, so that a card needs nothing for it; what is read lies beside
what is there until it is copied over. Only the files are left out: a shelf holds what would be in them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from ftc.runtime.artifacts.artifact import artifact_tensors, chosen_tensors, load_artifact
from ftc.runtime.artifacts.checkpoint import Contents, Kept, contents, put_back
from ftc.runtime.artifacts.tensor_files import flattened
from ftc.runtime.memory_trace.holdings import register_state, release_teacher
from ftc.runtime.memory_trace.host import Host
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.training.loop import Job
from ftc.runtime.training.optimizers import evaluating
from ftc.spec.documents.settings import Settings

__all__ = ["Read", "Shapes", "Shelf", "keep"]

Read = Callable[[], dict[str, torch.Tensor]]
"""Reads a file."""


class Shelf(Protocol):
    """Where a run's files would be."""

    def checkpoint(self, tensors: Contents) -> Kept:
        """Keeps a checkpoint."""
        ...

    def result(self, tensors: Mapping[str, torch.Tensor]) -> Read:
        """Keeps the result, and tells how it is read."""
        ...


@dataclass(frozen=True, slots=True)
class _Reads:
    """A checkpoint by how its two files are read."""

    weights: Read
    optimizer: Read


class Shapes:
    """A shelf that holds shapes alone.

    Args:
        tracker: Counts what is read into the device's own memory.
        host: Says whether the processor's memory is that.
    """

    def __init__(self, tracker: StorageTracker, host: Host) -> None:
        self._tracker, self._host = tracker, host

    def checkpoint(self, tensors: Contents) -> Kept:
        """Takes the tensors out as a file's writer does."""
        return _Reads(*map(self.result, tensors.values()))

    def result(self, tensors: Mapping[str, torch.Tensor]) -> Read:
        """The same, of one file."""
        for _ in flattened(tensors.values()):
            pass
        shapes = {name: (one.shape, one.dtype, self._tracker.owner_of(one)) for name, one in tensors.items()}

        def read() -> dict[str, torch.Tensor]:
            return {name: self._read(*shape) for name, shape in shapes.items()}

        return read

    def _read(self, shape: torch.Size, dtype: torch.dtype, owner: int | None) -> torch.Tensor:
        tensor = self._host.tensor(shape, dtype)
        if tensor.is_meta:
            self._tracker.register(tensor, "temporaries", owner)
        return tensor


def keep(job: Job, settings: Settings, tracker: StorageTracker, shelf: Shelf) -> None:
    """Saves, resumes and writes the result, behind the last step.

    Args:
        job: What was trained.
        settings: The plan's.
        tracker: Watches.
        shelf: Takes the place of the run's folder.
    """
    tracker.section("save")
    with evaluating(job.optimizer):
        kept = shelf.checkpoint(contents(job.parameters, job.optimizer))
    _forget(job, tracker)  # a run that is resumed has a new optimizer

    tracker.section("resume")
    put_back(job.model, job.parameters, job.optimizer, kept)
    register_state(tracker, job.optimizer)
    _forget(job, tracker)  # it ends with training
    if job.teacher is not None:
        release_teacher(tracker, job.teacher.model)

    tracker.section("export")
    read = shelf.result(chosen_tensors(job.model, settings, kept))

    tracker.section("evaluation: result")
    _read_back(job, settings, read)


def _forget(job: Job, tracker: StorageTracker) -> None:
    """Lets go of the optimizer's memory, in no phase."""
    tracker.section("")
    job.optimizer.state.clear()


def _read_back(job: Job, settings: Settings, read: Read) -> None:
    tensors = read()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter")  # there is nothing to copy
        load_artifact(job.model, settings, tensors)
    for _ in flattened(artifact_tensors(job.model, settings).values()):
        pass
