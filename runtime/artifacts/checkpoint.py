"""Checkpoints that are whole or absent.

A checkpoint is a folder named by its step. It is filled under a temporary name, its manifest is written last, and a
rename makes it count. It is opened only after every file has the size and digest of the manifest. It holds tensors and
JSON alone, so opening a stranger's can run nothing. An older one goes only after the newer one is complete, and the
best one never. No state of a random generator is kept, since none is needed: see `seeding`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ftc.runtime.artifacts import checkpoint_files
from ftc.runtime.artifacts.checkpoint_files import (
    MANIFEST,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    Manifest,
    State,
    WholeCheckpoint,
    damaged,
    saved_steps,
    step_folder,
)
from ftc.runtime.artifacts.tensor_files import read_shapes, read_tensors, write_tensors
from ftc.runtime.models.base_model import load_weights
from ftc.runtime.strategies import half_of
from ftc.runtime.training.optimizers import load_state, state_tensors
from ftc.runtime.training.selection import Progress
from ftc.runtime.training.weight_average import WeightAverage
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.step_log import StepLog
from ftc.spec.storage.atomic_write import building_folder

__all__ = [
    "Checkpoint",
    "Contents",
    "Kept",
    "artifact_tensors",
    "chosen_tensors",
    "contents",
    "load_artifact",
    "newest",
    "prune",
    "put_back",
    "save",
    "unfit",
    "verified",
]

Contents = Mapping[str, Mapping[str, torch.Tensor]]
"""The tensors of each file of a checkpoint, by name."""


class Kept(Protocol):
    """What can be put back: a checkpoint, or what stands for one in the memory trace."""

    def weights(self) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters."""
        ...

    def optimizer(self) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it."""
        ...


class Checkpoint(WholeCheckpoint):
    """A checkpoint that may be continued, to be read."""

    __slots__ = ()

    def weights(self) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters."""
        return read_tensors(self.folder / WEIGHTS)

    def optimizer(self) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it."""
        return read_tensors(self.folder / OPTIMIZER)

    def shapes(self) -> tuple[dict[str, torch.Size], dict[str, torch.Size]]:
        """Shapes of both by name, without reading them."""
        return read_shapes(self.folder / WEIGHTS), read_shapes(self.folder / OPTIMIZER)


def contents(parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Contents:
    """What training is kept by: the tensors themselves, of which nothing is copied."""
    return {WEIGHTS: parameters, OPTIMIZER: state_tensors(optimizer, parameters)}


def put_back(
    model: torch.nn.Module,
    parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    found: Kept,
    average: WeightAverage | None = None,
) -> None:
    """Makes weights, their average and the optimizer what they were.

    What was read of weights is gone before the rest is read.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, found.weights())
    load_state(optimizer, parameters, found.optimizer(), average)


def save(checkpoints: Path, job_sha256: str, progress: Progress, tensors: Contents) -> None:
    """Writes the checkpoint of a step, all or nothing.

    Raises:
        OSError: The disk refused; older checkpoints are intact.
    """
    checkpoints.mkdir(exist_ok=True)
    with building_folder(step_folder(checkpoints, progress.step)) as folder:
        for name, held in tensors.items():
            write_tensors(folder / name, held, {"job_sha256": job_sha256})
        (folder / STATE).write_text(State(job_sha256=job_sha256, progress=progress).to_text(), encoding="utf-8")
        files = {path.name: _facts(path) for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(Manifest(schema="ftc.checkpoint/1", files=files).to_text(), encoding="utf-8")


def prune(checkpoints: Path, progress: Progress, keep: int) -> None:
    """Deletes checkpoints that are neither among the newest nor the best."""
    steps = [step for step in saved_steps(checkpoints) if step <= progress.step]
    kept = {*steps[-keep:], progress.selection.best_step}
    for step in steps:
        if step not in kept:
            shutil.rmtree(step_folder(checkpoints, step))


def newest(
    checkpoints: Path, job_sha256: str, report: Callable[[Diagnostic], None], log: StepLog, *, below: int | None = None
) -> Checkpoint | None:
    """The newest checkpoint that may be continued; see `checkpoint_files.newest`."""
    found = checkpoint_files.newest(checkpoints, job_sha256, report, log, below=below)
    return Checkpoint(found.folder, found.progress) if found else None


def verified(
    checkpoints: Path, step: int | None, job_sha256: str, report: Callable[[Diagnostic], None], log: StepLog | None
) -> Checkpoint | None:
    """The checkpoint of a step, if it may be continued; see `checkpoint_files.verified`."""
    found = checkpoint_files.verified(checkpoints, step, job_sha256, report, log)
    return Checkpoint(found.folder, found.progress) if found else None


def _facts(path: Path) -> FileFacts:
    return FileFacts(size=path.stat().st_size, sha256=file_digest(path))


def unfit(found: Checkpoint, problem: str) -> Diagnostic:
    """What is said of a checkpoint whose files are whole and whose tensors are not the model's."""
    return damaged(found.folder, problem)


def chosen_tensors(model: nn.Module, settings: Settings, chosen: Kept) -> dict[str, torch.Tensor]:
    """What is saved of a model once it holds the weights that training chose.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, chosen.weights())
    return artifact_tensors(model, settings)


def artifact_tensors(model: nn.Module, settings: Settings) -> dict[str, torch.Tensor]:
    """What is saved: an adapter, or all weights with shared ones once."""
    return half_of(settings.strategy).saved(model, settings.strategy)


def load_artifact(model: Any, settings: Settings, tensors: dict[str, torch.Tensor]) -> None:
    """Puts what was saved into a model that is as it was before the first step."""
    half_of(settings.strategy).load(model, settings.strategy, tensors)
