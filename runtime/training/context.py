"""The processes that share rows in training, and the proof that this model can be computed so."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.execution.accelerator import any_process
from ftc.runtime.models.context_parallel import ContextGroup, ProcessExchange
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.tasks.scorer import Batch, target_losses
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.precisions import precision_card

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftc.runtime.training.loop import Job

__all__ = ["context_group_of", "prove_sharing"]

_PROVED = 256
"""Tokens of a row that is computed both ways: enough for all chunks to matter, and cheap whatever the rows' length."""


def context_group_of(train: TrainSettings, accelerator: Accelerator) -> ContextGroup | None:
    """This process's group; None where each process has rows of its own. All processes have to ask."""
    if train.context_parallel == 1:
        return None
    size, rank, device = train.context_parallel, accelerator.process_index, accelerator.device
    return ContextGroup(
        rank=rank % size,
        size=size,
        exchange=ProcessExchange(_processes(torch.distributed.group.WORLD, rank, size), size),
        products=torch_type(precision_card(train.precision).products),
        capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else None,
    )


@lru_cache(maxsize=1)  # each group takes memory of the device, and a run makes several jobs
def _processes(world: Any, rank: int, size: int) -> Any:
    """torch's group of this process and its neighbors; a machine's processes have numbers in a row.

    Args:
        world: The group of all processes, of which another run in this process would have its own.
        rank: Of this process.
        size: Of each group.
    """
    firsts = range(0, torch.distributed.get_world_size(world), size)
    made = [torch.distributed.new_group([*range(first, first + size)]) for first in firsts]
    return made[rank // size]


def prove_sharing(job: Job) -> None:
    """Compares the losses of a row's tokens with and without the other processes; all of them have to ask.

    That the sum is right rests on the model: it has to take places and attention from where they are given it.

    Args:
        job: As it is before the first step; nothing where processes share no rows.

    Raises:
        Refusal: They differ by more than arithmetic explains (FTC717).
    """
    if job.context is None:
        return
    rows = job.source.at(0).rows
    ids = torch.from_numpy(rows.ids(int(rows.lengths.argmax()))[:_PROVED].astype("int64"))
    if len(ids) < 2:
        return
    whole = Batch(
        ids=ids[None],
        attention=torch.ones_like(ids)[None],
        positions=torch.arange(len(ids) - 1),
        targets=ids[1:],
        owners=torch.zeros(len(ids) - 1, dtype=torch.int64),
    ).to(job.accelerator.device)
    with eval_mode(job.model):
        alone = target_losses(job.scorer, job.model, whole)[job.context.cut(whole).kept]
        with job.context.sharing(job.model, whole) as part:
            apart = (target_losses(job.scorer, job.model, part) - alone).abs()
    found = float(apart.mean()) if len(apart) else 0.0
    if any_process(job.accelerator, not found <= precision_card(job.train.precision).isolation):
        summary = "tokens of a row that processes share don't see all tokens before them"
        notes = (
            f"the losses of this process's tokens change by {found:.3g} nats on average",
            "the model attends to other tokens in a way that context parallelism does not know",
        )
        help, path = "write `train: {context_parallel: 1}`", "train.context_parallel"
        raise Refusal([diagnostic("FTC717", summary, notes=notes, help=help, path=path)])
