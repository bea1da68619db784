"""Digests of what goes into a step and of what it leaves behind."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ftc.runtime.artifacts.tensor_files import content_digest, tensor_digests
from ftc.runtime.execution.accelerator import everywhere
from ftc.runtime.models.sharding import whole_tensors
from ftc.runtime.training.optimizers import evaluating, state_tensors
from ftc.spec import canonical
from ftc.spec.documents.events import StepDone
from ftc.spec.documents.step_log import Rung, StepLine

if TYPE_CHECKING:
    from ftc.runtime.training.loop import Job

__all__ = ["BatchDigest", "chance_digest", "rung", "step_line"]


class BatchDigest:
    """Digest of everything that one step feeds to the model in this process, as it is fed.

    It covers the numbers of the rows in their source, and name, type, shape and bytes of every tensor of each batch,
    padding and masks included: whatever a loader, a template or a collation does wrong, this is another digest.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, numbers: list[int], batch: Any) -> None:
        """Adds one micro-batch.

        Args:
            numbers: Numbers of its rows in the source.
            batch: A dataclass whose tensors lie in the processor's memory.
        """
        self._sha256.update(f"{numbers}\n".encode())
        for field in dataclasses.fields(batch):
            value = getattr(batch, field.name)
            if isinstance(value, torch.Tensor):
                self._sha256.update(f"{field.name} {value.dtype} {tuple(value.shape)}\n".encode())
                self._sha256.update(np.ascontiguousarray(value.numpy()).data)

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return self._sha256.hexdigest()


def chance_digest() -> str:
    """Digest of the states of the generators that libraries draw from: python's, numpy's, torch's on every device."""
    sha256 = hashlib.sha256(array("Q", random.getstate()[1]))
    kind, keys, position, *_ = np.random.get_state()  # noqa: NPY002 - the global one is what libraries use
    sha256.update(f"{kind} {position}".encode())
    sha256.update(np.ascontiguousarray(keys).data)
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    for state in states:
        sha256.update(state.numpy().data)
    return sha256.hexdigest()


def step_line(done: StepDone, job: Job) -> StepLine:
    """The ladder's line of a step that has just been done; all processes have to ask for it."""
    fed = everywhere(job.accelerator, done.batch_sha256)
    return StepLine(
        step=done.step,
        batch_sha256=fed[0] if len(fed) == 1 else canonical.digest(fed),
        learning_rate=done.learning_rate.hex(),
        loss=done.loss.hex(),
        grad_norm=done.grad_norm.hex(),
        chance_sha256=chance_digest(),
    )


def rung(step: int, job: Job) -> Rung:
    """What stands on the ladder behind a step: for the first process; where weights are divided all have to ask."""
    keep = job.accelerator.is_main_process
    with evaluating(job.optimizer):
        weights = whole_tensors(job.parameters, keep=keep)
        state = whole_tensors(state_tensors(job.optimizer, job.parameters), keep=keep)
        return Rung(
            step=step,
            weights_sha256=content_digest(weights),
            tensors=tensor_digests(weights),
            optimizer_sha256=content_digest(state),
        )
