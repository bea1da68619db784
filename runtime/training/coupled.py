"""Gradients of a loss that compares all rows of an optimizer batch, in micro-batches (GradCache, Gao et al. 2021).

Vectors of the whole batch are computed first, without what a backward pass needs. The loss over all of them gives the
gradient of each vector, and a second forward pass of each micro-batch takes it back through the model. So the loss, and
what is learned, depend neither on the per-device batch size nor on the number of devices, and memory on no more than a
micro-batch and the vectors. Where one micro-batch is the whole batch, a single pass is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from ftc.runtime.models.sharding import accumulating
from ftc.runtime.tasks.scorer import Batch
from ftc.runtime.training.seeding import seed_everything, stream_seed

if TYPE_CHECKING:
    from ftc.runtime.tasks.text_groups import RowCoupling
    from ftc.runtime.training.loop import Job
    from ftc.runtime.training.sources import StepRows

__all__ = ["coupled_gradients"]


def coupled_gradients(
    job: Job, coupling: RowCoupling, fed: StepRows, batches: Sequence[Batch], pieces: Sequence[tuple[list[int], bool]]
) -> torch.Tensor:
    """Adds up the gradients of a step; returns the mean loss of its rows, on the device.

    Args:
        job: All that the loop works with.
        coupling: How rows are compared.
        fed: The step's rows.
        batches: This device's micro-batches, on the device.
        pieces: The rows of each, and whether they count; others join only for the exchange between devices.
    """
    numbers = fed.numbers
    device, groups = job.accelerator.device, coupling.groups(fed.rows, numbers)
    places = [_places(numbers, groups, rows).to(device) for rows, _ in pieces]
    groups = groups.to(device)
    if len(pieces) == 1 and job.accelerator.num_processes == 1:
        vectors = job.scorer.logits(job.model, batches[0])
        loss = coupling.losses(vectors.index_select(0, places[0].argsort()), groups).mean()
        job.accelerator.backward(loss * job.scale.factor)
        return loss.detach()

    found = None
    with torch.no_grad():
        for number, (batch, where, (_, counts)) in enumerate(zip(batches, places, pieces, strict=True)):
            _seed(job, fed.index, number)
            vectors = job.scorer.logits(job.model, batch)
            if found is None:
                found = vectors.new_zeros(len(groups.firsts) + len(groups.others), vectors.shape[1])
            if counts:
                found.index_copy_(0, where, vectors)
    assert found is not None, "every device has a micro-batch"
    if job.accelerator.num_processes > 1:  # each place was filled by one device
        summed: Any = job.accelerator.reduce(found, reduction="sum")
        found = summed
    found.requires_grad_()
    loss = coupling.losses(found, groups).mean()
    (gradient,) = torch.autograd.grad(loss, found)
    gradient *= job.scale.factor * job.accelerator.num_processes  # wrappers average over devices; we need the sum

    for number, (batch, where, (_, counts)) in enumerate(zip(batches, places, pieces, strict=True)):
        _seed(job, fed.index, number)
        with nullcontext() if number == len(batches) - 1 else accumulating(job.accelerator, job.model):
            vectors = job.scorer.logits(job.model, batch)
            wanted = gradient.index_select(0, where) if counts else torch.zeros_like(vectors)
            job.accelerator.backward((vectors * wanted).sum())
    return loss.detach()


def _places(numbers: Sequence[int], groups: Any, rows: Sequence[int]) -> torch.Tensor:
    """(S,) places that the texts of a micro-batch have among those of the whole step."""
    begins = [*groups.firsts.tolist(), len(groups.firsts) + len(groups.others)]
    spans = dict(zip(numbers, pairwise(begins), strict=True))
    return torch.tensor([place for row in rows for place in range(*spans[row])])


def _seed(job: Job, step: int, number: int) -> None:
    """The same dropout in both passes of a micro-batch."""
    seed_everything(stream_seed(job.seeds.dropout, step, job.accelerator.process_index, number))
