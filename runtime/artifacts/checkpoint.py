"""Checkpoints that are whole or absent.

A checkpoint is a folder named by its step. It is filled under a temporary name, its manifest is written last, and a
rename makes it count. It is opened only after every file has the size and digest of the manifest. It holds tensors and
JSON alone, so opening a stranger's can run nothing. An older one goes only after the newer one is complete, and the
best one never. No state of a random generator is kept, since none is needed: see `seeding`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import nn

from ftc.runtime.artifacts.tensor_files import read_shapes, read_tensors, stored_digests, write_tensors
from ftc.runtime.models.base_model import load_weights
from ftc.runtime.strategies import half_of
from ftc.runtime.training.optimizers import load_state, state_tensors
from ftc.runtime.training.selection import Progress
from ftc.spec.base import Document
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.step_log import Ladder
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.storage.model_files import content_digest

__all__ = [
    "Checkpoint",
    "Contents",
    "Kept",
    "artifact_tensors",
    "chosen_tensors",
    "contents",
    "discard",
    "load_artifact",
    "newest",
    "prune",
    "put_back",
    "save",
    "unfit",
    "verified",
]

_MANIFEST = "MANIFEST.json"
_WEIGHTS = "trainable.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_STATE = "state.json"

Contents = Mapping[str, Mapping[str, torch.Tensor]]
"""The tensors of each file of a checkpoint, by name."""


class _Manifest(Document):
    schema_: Literal["ftc.checkpoint/1"] = Field("ftc.checkpoint/1", alias="schema")
    files: dict[str, FileFacts]


class _State(Document):
    job_sha256: str
    progress: Progress


class Kept(Protocol):
    """What can be put back: a checkpoint, or what stands for one in the memory trace."""

    def weights(self) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters."""
        ...

    def optimizer(self) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files were compared with its manifest."""

    folder: Path
    progress: Progress

    def weights(self) -> dict[str, torch.Tensor]:
        """The trainable weights by the names of the model's parameters."""
        return read_tensors(self.folder / _WEIGHTS)

    def optimizer(self) -> dict[str, torch.Tensor]:
        """The optimizer's memory, as `optimizer.state_tensors` names it."""
        return read_tensors(self.folder / _OPTIMIZER)

    def shapes(self) -> tuple[dict[str, torch.Size], dict[str, torch.Size]]:
        """Shapes of both by name, without reading them."""
        return read_shapes(self.folder / _WEIGHTS), read_shapes(self.folder / _OPTIMIZER)


def contents(parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Contents:
    """What training is kept by: the tensors themselves, of which nothing is copied."""
    return {_WEIGHTS: parameters, _OPTIMIZER: state_tensors(optimizer, parameters)}


def put_back(
    model: torch.nn.Module,
    parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    found: Kept,
) -> None:
    """Makes weights and optimizer what they were; what was read of one is gone before the other is read.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, found.weights())
    load_state(optimizer, parameters, found.optimizer())


def save(checkpoints: Path, job_sha256: str, progress: Progress, tensors: Contents) -> None:
    """Writes the checkpoint of a step, all or nothing.

    Raises:
        OSError: The disk refused; older checkpoints are intact.
    """
    checkpoints.mkdir(exist_ok=True)
    with building_folder(_folder(checkpoints, progress.step)) as folder:
        for name, held in tensors.items():
            write_tensors(folder / name, held, {"job_sha256": job_sha256})
        (folder / _STATE).write_text(_State(job_sha256=job_sha256, progress=progress).to_text(), encoding="utf-8")
        files = {path.name: _facts(path) for path in sorted(folder.iterdir())}
        (folder / _MANIFEST).write_text(_Manifest(schema="ftc.checkpoint/1", files=files).to_text(), encoding="utf-8")


def prune(checkpoints: Path, progress: Progress, keep: int) -> None:
    """Deletes checkpoints that are neither among the newest nor the best."""
    steps = [step for step in _steps(checkpoints) if step <= progress.step]
    kept = {*steps[-keep:], progress.selection.best_step}
    for step in steps:
        if step not in kept:
            shutil.rmtree(_folder(checkpoints, step))


def newest(
    checkpoints: Path, job_sha256: str, report: Callable[[Diagnostic], None], log: Ladder, *, below: int | None = None
) -> Checkpoint | None:
    """The newest checkpoint that is whole, and whose best checkpoint is whole too; damaged ones are reported.

    Args:
        checkpoints: The run's folder of checkpoints.
        job_sha256: The job that they have to belong to.
        report: Hears of each damaged one.
        log: The run's step log, which knows the digest of every tensor of a checkpoint.
        below: A step before which it has to be; None for any.
    """
    for step in reversed([one for one in _steps(checkpoints) if below is None or one < below]):
        found = verified(checkpoints, step, job_sha256, report, log)
        if found is None:
            continue
        best = found.progress.selection.best_step
        if best in (None, step) or verified(checkpoints, best, job_sha256, report, log):
            return found
    return None


def verified(
    checkpoints: Path, step: int | None, job_sha256: str, report: Callable[[Diagnostic], None], log: Ladder | None
) -> Checkpoint | None:
    """The checkpoint of a step, or None where it is absent or damaged, or contradicts a step log that is given."""
    if step is None:
        return None
    folder = _folder(checkpoints, step)
    if problem := _problem(folder):
        report(_damaged(folder, problem))
        return None
    state = _State.model_validate_json((folder / _STATE).read_bytes())
    if state.job_sha256 != job_sha256:
        report(_damaged(folder, f"it belongs to job {state.job_sha256[:12]}"))
        return None
    if state.progress.step != step:
        report(_damaged(folder, f"it is of step {state.progress.step}, under another's name"))
        return None
    found = Checkpoint(folder, state.progress)
    if log is not None and (problem := _contradiction(found, log)):
        report(_damaged(folder, problem))
        return None
    return found


def _contradiction(found: Checkpoint, log: Ladder) -> str | None:
    """In what a checkpoint whose manifest is right differs from the step log, which was on disk before it.

    Its own manifest can't tell: whoever writes other weights can write another manifest.
    """
    step = found.progress.step
    if log.height < step:
        return f"the step log has no step {log.height + 1}"
    noted = log.rungs.get(step)
    if noted is None:
        return f"the step log has no weight checksum of step {step}"
    try:
        held = {name: one.sha256 for name, one in stored_digests(found.folder / _WEIGHTS).items()}
        optimizer = content_digest(stored_digests(found.folder / _OPTIMIZER))
    except ValueError as error:
        return str(error)
    names = sorted(held.keys() | noted.tensors.keys())
    other = next((name for name in names if held.get(name) != noted.tensors.get(name)), None)
    if other is not None:
        return f"tensor {other} is not the one of the step log"
    if optimizer != noted.optimizer_sha256:
        return "its optimizer state is not the one of the step log"
    if noted.progress_sha256 and found.progress.checksum() != noted.progress_sha256:
        return "what its state.json says of the training so far is not what the step log says"
    return None


def discard(checkpoints: Path, after: int) -> None:
    """Deletes checkpoints of later steps, which may rest on other inputs than the plan's."""
    for step in _steps(checkpoints):
        if step > after:
            shutil.rmtree(_folder(checkpoints, step))


def _problem(folder: Path) -> str | None:
    try:
        manifest = _Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        return "it has no manifest"
    except (OSError, ValueError):
        return "its manifest can't be read"
    if missing := {_WEIGHTS, _OPTIMIZER, _STATE} - set(manifest.files):
        return f"its manifest doesn't name {min(missing)}"
    for name, expected in manifest.files.items():
        path = folder / Path(name).name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected.size:
            return f"{name} has {path.stat().st_size} bytes instead of {expected.size}"
        if file_digest(path) != expected.sha256:
            return f"{name} has another sha256 than the manifest says"
    return None


def _steps(checkpoints: Path) -> list[int]:
    folders = checkpoints.glob("step-[0-9]*") if checkpoints.is_dir() else ()
    return sorted(int(folder.name.removeprefix("step-")) for folder in folders)


def _folder(checkpoints: Path, step: int) -> Path:
    return checkpoints / f"step-{step:08d}"


def _facts(path: Path) -> FileFacts:
    return FileFacts(size=path.stat().st_size, sha256=file_digest(path))


def unfit(found: Checkpoint, problem: str) -> Diagnostic:
    """What is said of a checkpoint whose files are whole and whose tensors are not the model's."""
    return _damaged(found.folder, problem)


def _damaged(folder: Path, problem: str) -> Diagnostic:
    return diagnostic("FTC629", f"checkpoint {folder.name} is damaged: {problem}", help="nothing; an older one is used")


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
