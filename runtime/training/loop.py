"""The training loop: a generator of steps. What happens between steps is up to `hooks`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ftc.runtime.artifacts.fingerprints import BatchDigest
from ftc.runtime.models.context_parallel import ContextGroup
from ftc.runtime.models.sharding import accumulating, in_step, whole
from ftc.runtime.models.tensor_parallel import sum_gradients
from ftc.runtime.tasks.package_loss import PackageLoss
from ftc.runtime.tasks.scorer import Batch, ChunkedScorer, Scorer, focal_loss, packed_batch
from ftc.runtime.tasks.text_groups import coupling_of
from ftc.runtime.training.clipping import clip_gradients
from ftc.runtime.training.coupled import coupled_gradients
from ftc.runtime.training.distillation import Teacher
from ftc.runtime.training.hand_over import Ahead, looks_ahead, reading
from ftc.runtime.training.loss_scale import LossScale
from ftc.runtime.training.optimizers import Pace, set_learning_rate
from ftc.runtime.training.router_loss import RouterLoss
from ftc.runtime.training.seeding import seed_everything, stream_seed
from ftc.runtime.training.sources import RowSource, StepRows
from ftc.runtime.training.weight_average import WeightAverage
from ftc.spec.context_parallel import row_shares
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.events import StepDone
from ftc.spec.documents.seeds import Seeds
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.precisions import choices_without_scaling, precision_card
from ftc.spec.schedules import learning_rate_at

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Job", "rehearse", "training_steps"]


@dataclass(frozen=True, slots=True)
class Job:
    """All that the loop works with."""

    train: TrainSettings
    seeds: Seeds
    model: nn.Module
    """As it is called: wrapped, where several processes share the rows."""
    parameters: dict[str, nn.Parameter]
    """What is trained, by name."""
    scorer: Scorer
    optimizer: torch.optim.Optimizer
    source: RowSource
    """Where a step's rows come from: a stream, or the model itself."""
    accelerator: Accelerator
    teacher: Teacher | None = None
    """What is distilled from beside the rows, or writes answers; None where nothing is."""
    loss: PackageLoss | None = None
    """What takes the place of the scorer's losses in training; None for nothing."""
    class_weights: torch.Tensor | None = None
    """(C,) what a row's loss is multiplied by, by its class; None for nothing."""
    router: RouterLoss | None = None
    """What balances a mixture of experts; None where nothing does."""
    pace: Pace = field(default_factory=Pace)
    scale: LossScale = field(default_factory=partial(LossScale, is_on=False, device=torch.device("cpu")))
    """Of the loss, where its gradients would underflow."""
    average: WeightAverage | None = None
    """Of the weights, which is measured and saved in their place; None for none."""
    context: ContextGroup | None = None
    """The processes that share this one's rows; None where its rows are its own."""

    @property
    def share(self) -> tuple[int, int]:
        """Which share of a step's rows is this process's, counted from 0, and how many there are."""
        rank, count = self.accelerator.process_index, self.accelerator.num_processes
        sharers = self.train.sharers
        return rank // sharers, row_shares(count, sharers)

    @property
    def dropout_number(self) -> int:
        """Whose random numbers of a step are this process's: those that divide each layer draw the same."""
        rank: int = self.accelerator.process_index
        return rank // self.train.tensor_parallel


def training_steps(job: Job, first_step: int) -> Iterator[StepDone]:
    """Trains step by step, from `first_step` (counted from 0) to the plan's last.

    Each step is a pure function of the weights, the optimizer and the step's number.

    Raises:
        Refusal: A loss or gradient is not finite; weights and optimizer are as they were before that step.
    """
    ahead = None
    for step in range(first_step, job.train.num_steps):
        fed = ahead.fed if ahead else job.source.at(step)
        started = time.perf_counter()
        seed_everything(stream_seed(job.seeds.dropout, step, job.dropout_number))
        rows = fed.numbers
        targets = sum(job.scorer.num_targets(fed.rows, row) for row in rows)

        # Forward and backward, one micro-batch after the other.
        digest = BatchDigest()
        total, divisor = _accumulate_gradients(job, fed, targets, digest, ahead)

        # Clipping, after which a broken step must not reach the weights.
        sum_gradients(job.model)
        if targets:
            job.scale.unscale(job.optimizer)
        longest = math.inf if job.train.max_grad_norm is None else job.train.max_grad_norm
        read = reading(total, clip_gradients(job.parameters.values(), longest))
        ahead = _look_ahead(job, step + 1)
        loss, grad_norm = read()
        loss /= divisor
        factor, overflowed = job.scale.factor, bool(targets) and job.scale.adapt()
        if not (math.isfinite(loss) and (overflowed or math.isfinite(grad_norm))) or job.scale.is_exhausted:
            raise Refusal([_not_finite(job, fed, step, loss, grad_norm)])

        # Update; without a target there is no gradient, and moments alone must not move the weights. Nor is there one
        # where the scaled loss has overflowed: the next step has half the scale.
        rate = learning_rate_at(step, job.train) * job.pace.factor
        set_learning_rate(job.optimizer, rate)
        if moved := bool(targets) and not overflowed:
            job.optimizer.step()
        if job.average is not None:
            job.average.update(step, moved=moved)
        job.optimizer.zero_grad(set_to_none=True)

        yield StepDone(
            step=step + 1,
            epoch=(step + 1) / job.train.steps_per_epoch,
            loss=loss,
            learning_rate=rate,
            grad_norm=None if overflowed else grad_norm,
            tokens=int(fed.rows.lengths[rows].sum()),
            supervised=targets,
            seconds=time.perf_counter() - started,
            batch_sha256=digest.hexdigest(),
            sampled=fed.sampled,
            written=fed.written,
            loss_scale=factor if job.scale.is_on else None,
        )


def rehearse(job: Job, step: int, rows: list[int]) -> None:
    """Takes a micro-batch of a step forward and backward, by itself; the gradients are the caller's to forget."""
    fed = job.source.at(step)
    seed_everything(stream_seed(job.seeds.dropout, step, job.dropout_number))
    batch = _batch(job, fed, rows, BatchDigest())
    targets = sum(job.scorer.num_targets(fed.rows, row) for row in rows)
    if (loss := _loss(job, batch, 1.0 / max(1, targets), targets)).requires_grad:
        job.accelerator.backward(loss)


def _accumulate_gradients(
    job: Job, fed: StepRows, targets: int, digest: BatchDigest, ahead: Ahead | None = None
) -> tuple[torch.Tensor, float]:
    """Adds up the gradients of a step over micro-batches and devices.

    Every loss is divided by the targets of the whole step, so the gradient doesn't depend on how rows are divided.

    Returns:
        The mean loss of its targets, on the device, and what it is still to be divided by.
    """
    accelerator, world_size = job.accelerator, job.accelerator.num_processes
    pieces = _pieces(job, fed)
    if (coupling := coupling_of(job.scorer)) is not None:  # a row's loss depends on all others
        made = [ahead.batch if ahead and not number else None for number in range(len(pieces))]
        batches = [_batch(job, fed, rows, digest, one) for one, (rows, _) in zip(made, pieces, strict=True)]
        return coupled_gradients(job, coupling, fed, batches, pieces), 1.0
    factor = job.scale.factor
    share = factor * job.train.layer_groups / max(1, targets)  # others average; we need the sum
    total = torch.zeros((), device=accelerator.device)
    for number, (rows, counts) in enumerate(pieces, start=1):
        weight = share if counts else 0.0
        batch = _batch(job, fed, rows, digest, ahead.batch if ahead and number == 1 else None)
        with nullcontext() if number == len(pieces) else accumulating(accelerator, job.model):
            targets_here = sum(job.scorer.num_targets(fed.rows, row) for row in rows) if job.router else 0
            with job.context.sharing(job.model, batch) if job.context else nullcontext(batch) as mine:
                loss = _loss(job, mine, weight, targets_here)
                if loss.requires_grad:  # a projector that is trained alone has no part in rows without images
                    accelerator.backward(loss)
        total += loss.detach()
    if world_size > 1:
        summed: Any = accelerator.reduce(total, reduction="sum")
        total = summed
    return total, factor * world_size


def _look_ahead(job: Job, step: int) -> Ahead | None:
    """A step's first micro-batch, in memory from which the device copies by itself; None where nothing is gained."""
    if step >= job.train.num_steps or job.source.follows_weights or not looks_ahead(job.accelerator.device):
        return None
    fed = job.source.at(step)
    return Ahead(fed, _made(job, fed, _pieces(job, fed)[0][0]).pinned())


def _made(job: Job, fed: StepRows, rows: list[int]) -> Batch:
    """A micro-batch in host RAM."""
    return packed_batch(fed.rows, rows) if job.train.packing else job.scorer.batch(fed.rows, rows)


def _batch(job: Job, fed: StepRows, rows: list[int], digest: BatchDigest, made: Batch | None = None) -> Batch:
    """A micro-batch on its device, after its digest was taken."""
    batch = made or _made(job, fed, rows)
    digest.add([int(fed.rows.rows[row]) for row in rows], batch)
    if job.teacher is not None and (taught := job.teacher.taught(rows)) is not None:
        batch = replace(batch, taught=taught)
    return batch.to(job.accelerator.device)


def _pieces(job: Job, fed: StepRows) -> list[tuple[list[int], bool]]:
    """This device's micro-batches of a step, each with whether it counts.

    Devices join the others' exchange with a gradient of zero: with one where there are more devices than rows, and as
    often as the busiest where each holds the model in parts.
    """
    own, shares = job.share
    is_divided = job.train.is_divided
    each = range(shares) if is_divided else (own,)
    pieces = [fed.micro_batches(job.train.micro_batch, one, shares) for one in each]
    stand_in = fed.numbers[:1]
    return list(in_step(pieces, own if is_divided else 0, stand_in)) or [(stand_in, False)]


def _loss(job: Job, batch: Batch, weight: float, targets: int = 0) -> torch.Tensor:
    """The sum of the losses of a batch's targets, times a weight.

    The loss of routers is one number for all tokens of a batch, and counts as often as the batch has targets.
    Scores are never named here: a name would keep them through the backward pass.
    """
    # The teacher comes first, while the model keeps nothing for its backward pass.
    wanted = job.teacher.answers(batch) if job.teacher and job.teacher.settings.judges else None

    def losses(scores: torch.Tensor, lines: slice) -> torch.Tensor:
        part = batch.part(lines)
        if job.loss is not None:
            found = job.loss(scores, part.targets)
        elif (gamma := job.train.focal_gamma) is not None:
            found = focal_loss(scores, part.targets, gamma)
        else:
            found = job.scorer.losses(scores, part, job.train.label_smoothing)
        if job.class_weights is not None:
            found = found * job.class_weights[part.targets]
        if job.teacher is not None and wanted is not None:
            pairs = batch.taught.pairs[lines] if batch.taught else None
            found = job.teacher.blended(found, scores, wanted(lines), pairs)
        if job.train.z_loss is not None:
            found = found + job.train.z_loss * scores.logsumexp(dim=-1).square()
        return found

    def total() -> torch.Tensor:
        if isinstance(job.scorer, ChunkedScorer) and job.scorer.head is not None:
            with job.scorer.head.summing(losses, weight, by_chunk=wanted is not None):
                return job.scorer.output(job.model, batch)
        return losses(job.scorer.logits(job.model, batch), slice(None)).sum() * weight

    if job.router is None:
        return total()
    with job.router.watching():
        found = total()
        return found + job.router.loss(batch) * (targets * weight)


def _not_finite(job: Job, fed: StepRows, step: int, loss: float, grad_norm: float) -> Diagnostic:
    rows = [int(fed.rows.rows[row]) for row in fed.numbers]
    shown = ", ".join(map(str, rows[:16])) + (", …" if len(rows) > 16 else "")
    weights = job.model.named_parameters()
    broken = next((name for name, one in weights if not whole(one.detach()).isfinite().all()), None)
    products = precision_card(job.train.precision).products
    narrow: tuple[str, ...] = ()
    if job.scale.is_on and not broken:
        limit = f"{products.name} has no number above {products.largest}"
        narrow = (f"{limit}: activations or gradients are larger, whatever scale the loss has",)
    help, path = "lower `train.learning_rate`, or check these rows", "train.learning_rate"
    if broken:
        help, path = "use another copy of the base model", "model.base"
    elif narrow:
        help, path = f"train with {choices_without_scaling()}", "train.precision"
    return diagnostic(
        "FTC626",
        f"step {step + 1} gives a loss of {loss} and a gradient norm of {grad_norm}",
        notes=(
            *narrow,
            f"rows of that step in the source, from 0: {shown}",
            *((f"before the step, `{broken}` already contains values that are not finite",) if broken else ()),
            "the step was not applied; the last checkpoint is intact",
        ),
        help=help,
        path=path,
    )
