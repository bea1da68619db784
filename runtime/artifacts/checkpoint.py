"""Checkpoints that are whole or absent.

A checkpoint is a folder named by its step. It is filled under a temporary name, its manifest is written last, and a
rename makes it count. It is opened only after every file has the size and digest of the manifest. It holds tensors and
JSON alone, so opening a stranger's can run nothing. An older one goes only after the newer one is complete, and the
best one never. No state of a random generator is kept, since none is needed: see `seeding`.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ftc.runtime.artifacts import checkpoint_files
from ftc.runtime.artifacts.checkpoint_files import State, WholeCheckpoint, damaged, saved_steps, step_folder
from ftc.runtime.artifacts.saving import Contents, Saving
from ftc.runtime.artifacts.tensor_files import read_tensors, torch_dtype
from ftc.runtime.models.base_model import load_weights, trainable_tensors
from ftc.runtime.models.sharding import empty_like_parts
from ftc.runtime.strategies import half_of
from ftc.runtime.training.optimizers import load_state, parameter_of, state_tensors
from ftc.runtime.training.selection import Progress
from ftc.runtime.training.weight_average import WeightAverage
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.step_log import StepLog
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, WEIGHTS, stored_tensors

__all__ = [
    "Checkpoint",
    "Contents",
    "Kept",
    "Parameters",
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

Parameters = Mapping[str, nn.Parameter]
"""What a checkpoint's tensors belong to, by name."""


class Kept(Protocol):
    """What can be put back: a checkpoint, or what stands for one in the memory trace."""

    def weights(self, parameters: Parameters, /) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters; of a divided one this process's part."""
        ...

    def optimizer(self, parameters: Parameters, /) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it; likewise."""
        ...


class Checkpoint(WholeCheckpoint):
    """A checkpoint that may be continued, to be read."""

    __slots__ = ()

    def weights(self, parameters: Parameters) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters; of a divided one this process's part."""
        return _read(self.files(WEIGHTS), parameters, parameters.get)

    def optimizer(self, parameters: Parameters) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it; likewise."""
        return _read(self.files(OPTIMIZER), parameters, lambda name: parameter_of(name, parameters))

    def shapes(self) -> tuple[dict[str, torch.Size], dict[str, torch.Size]]:
        """Shapes of both by name, without reading them."""
        weights, optimizer = (
            {name: torch.Size(one.shape) for name, one in stored_tensors(self.files(file)).items()}
            for file in (WEIGHTS, OPTIMIZER)
        )
        return weights, optimizer


def _read(
    files: Sequence[Path], parameters: Parameters, like: Callable[[str], nn.Parameter | None]
) -> dict[str, torch.Tensor]:
    """Tensors of a file or of its parts.

    A model in parts reads of each only the rows that this process holds, whatever processes wrote them; torch's own
    reader finds them by the headers, in a folder that was compared with its manifest.

    Args:
        files: The file, or all its parts.
        parameters: The model's.
        like: The parameter in whose parts a tensor of that name is held; None for one that isn't divided.
    """
    is_divided = any(hasattr(one, "placements") for one in parameters.values())
    if len(files) == 1 and not is_divided:
        return read_tensors(files[0])
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load as load_parts

    found = {}
    for name, one in stored_tensors(files).items():
        shape, dtype, owner = torch.Size(one.shape), torch_dtype(one.dtype), like(name)
        found[name] = torch.empty(shape, dtype=dtype) if owner is None else empty_like_parts(owner, shape, dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # each process reads for itself
        load_parts(found, storage_reader=HuggingFaceStorageReader(str(files[0].parent)), no_dist=True)
    return found


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
    load_weights(model, found.weights(parameters))
    load_state(optimizer, parameters, found.optimizer(parameters), average)


def save(checkpoints: Path, job_sha256: str, progress: Progress, tensors: Contents) -> None:
    """Writes the checkpoint of a step, all or nothing.

    Raises:
        OSError: The disk refused; older checkpoints are intact.
    """
    saving = Saving(checkpoints, State(job_sha256=job_sha256, progress=progress), leads=True)
    saving.write(tensors)
    saving.finish()


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


def unfit(found: Checkpoint, problem: str) -> Diagnostic:
    """What is said of a checkpoint whose files are whole and whose tensors are not the model's."""
    return damaged(found.folder, problem)


def chosen_tensors(model: nn.Module, settings: Settings, chosen: Kept) -> dict[str, torch.Tensor]:
    """What is saved of a model once it holds the weights that training chose.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, chosen.weights(trainable_tensors(model)))
    return artifact_tensors(model, settings)


def artifact_tensors(model: nn.Module, settings: Settings) -> dict[str, torch.Tensor]:
    """What is saved: an adapter, or all weights with shared ones once."""
    return half_of(settings.strategy).saved(model, settings.strategy)


def load_artifact(model: Any, settings: Settings, tensors: dict[str, torch.Tensor]) -> None:
    """Puts what was saved into a model that is as it was before the first step."""
    half_of(settings.strategy).load(model, settings.strategy, tensors)
