"""A process that shares rows with others, on tensors without memory: what it gathers is there, and nothing is sent."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from ftc.runtime.memory_trace.torch_internals import unwatched
from ftc.runtime.models.context_parallel import ContextGroup, Cut
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.tasks.scorer import Batch
from ftc.spec.documents.memory_trace import TraceJob
from ftc.spec.precisions import precision_card

__all__ = ["traced_group"]


def traced_group(job: TraceJob) -> ContextGroup | None:
    """The first process of a group; None where each process has rows of its own."""
    train = job.settings.train
    if train.context_parallel == 1:
        return None
    return _TracedGroup(
        rank=0,
        size=train.context_parallel,
        exchange=_Shapes(train.context_parallel),
        products=torch_type(precision_card(train.precision).products),
        capability=job.device.capability,
    )


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What an exchange gives, by its shape.

    Attributes:
        size: How many processes take part.
    """

    size: int

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        """See `Exchange.gather`."""
        return part.new_zeros((self.size, *part.shape))

    def scatter_sum(self, parts: torch.Tensor) -> torch.Tensor:
        """See `Exchange.scatter_sum`."""
        return parts.new_zeros(parts.shape[1:])


class _TracedGroup(ContextGroup):
    """A group whose micro-batches are one process's part from the start, with as many targets as it can have."""

    def bias(self, cut: Cut, end: int) -> torch.Tensor:
        """As of processes that are there; torch makes its own word for a causal chunk only where nobody looks."""
        with unwatched() if cut.documents is None and self.capability is not None else nullcontext():
            return super().bias(cut, end)

    def cut(self, batch: Batch) -> Cut:
        """The part as it is, in the places of the whole rows."""
        length, device = batch.ids.shape[1], batch.ids.device
        whole = torch.zeros((1, self.size * length), dtype=torch.int64, device=device)
        documents = None if batch.places is None else whole
        part = replace(batch, places=whole[:, :length].clone())
        return Cut(part, torch.ones_like(batch.positions, dtype=torch.bool), length // 2, documents)
