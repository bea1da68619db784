"""Scores of rows: the loss of each, and what the head says of it. No gradient, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors, write_tensors
from ftc.runtime.evaluation.shortcuts import faster_linears
from ftc.runtime.execution.accelerator import StopTogether, agreed
from ftc.runtime.execution.machine import keeps_freed
from ftc.runtime.models.sharding import in_step, is_sharded, reshard
from ftc.runtime.models.tensor_parallel import devices_of_a_layer, reports_rows
from ftc.runtime.tasks.classification import RowScorer
from ftc.runtime.tasks.preference import PreferenceScorer
from ftc.runtime.tasks.scorer import ChunkedScorer, Prediction, ProbabilityScorer, target_losses
from ftc.runtime.tasks.text_groups import coupling_of
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, processor_batch, scored_at_once, share_of
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import head_card
from ftc.spec.storage.atomic_write import building_folder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftc.runtime.execution.session import Session
    from ftc.runtime.tasks.scorer import ModelWithScorer

__all__ = ["RowScore", "as_base", "eval_mode", "gathered", "learn_references", "score_rows", "shared_batches"]


_REFERENCES = "log_probs.safetensors"


@dataclass(frozen=True, slots=True, order=True)
class RowScore:
    """One row's score."""

    row: int
    """Number of the row in its stream."""
    loss_sum: float
    """Cross entropy in nats, summed over the row's targets."""
    targets: int
    predicted: Prediction = ()
    """What the head says of the row; see the task's scorer."""
    probabilities: tuple[float, ...] = ()
    """Of each class, or of each word's tag, where they are asked for."""
    vectors: NDArray[np.float32] | None = field(default=None, compare=False)
    """(K, D) those of the row's texts, where it has such; loss and prediction follow from those of all rows."""


def score_rows(
    work: ModelWithScorer,
    rows: TokenStream,
    batch_size: int,
    accelerator: Accelerator,
    stop: StopRequest,
    *,
    with_probabilities: bool = False,
    alone: bool = False,
) -> Iterator[list[RowScore]]:
    """This process's share of a split's rows, batch by batch, the longest first.

    Args:
        work: The model, whole or divided.
        rows: The split.
        batch_size: Rows at once.
        accelerator: Of the run.
        stop: Asked before each batch.
        with_probabilities: Whether scores have those of classes.
        alone: Whether this process scores all rows, and the others none; for models that aren't divided.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    order = by_length(list(range(len(rows))), rows.lengths)
    whole_rows = isinstance(work.scorer, RowScorer)

    size = batch_size
    if whole_rows and order and accelerator.device.type == "cpu":
        size = processor_batch(size, int(rows.lengths[order[0]]))

    def batches(mine: list[int]) -> list[list[int]]:
        return scored_at_once(mine, rows.lengths, size, whole_rows=whole_rows)

    stop = StopTogether(accelerator, stop) if is_sharded(work.model) else stop
    with keeps_freed():
        mine = ((one, True) for one in batches(order)) if alone else None
        for numbers, counts in mine or shared_batches(work.model, order, batches, accelerator):
            stop.check()
            scores = _score(work, rows, numbers, accelerator.device, with_probabilities=with_probabilities)
            if counts:
                yield scores


def shared_batches(
    model: nn.Module, order: list[int], batches: Callable[[list[int]], list[list[int]]], accelerator: Accelerator
) -> Iterator[tuple[list[int], bool]]:
    """This process's batches of rows, each with whether it counts: a divided model is called equally often everywhere.

    `batches` makes batches of a process's share of the rows in `order`.
    """
    same = devices_of_a_layer(model)  # those that divide a layer compute the same rows
    rank, world_size = accelerator.process_index // same, accelerator.num_processes // same
    if is_sharded(model):
        shares = [batches(share_of(order, other, world_size)) for other in range(world_size)]
        return in_step(shares, rank, order[:1])
    return in_step([batches(share_of(order, rank, world_size))], 0, [])


def gathered(
    work: ModelWithScorer, rows: TokenStream, scores: list[RowScore], accelerator: Accelerator
) -> list[RowScore]:
    """All processes' scores of a split in the order of its rows, so that no sum depends on how rows were divided."""
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        scores = gather_object(scores if reports_rows(work.model, accelerator.process_index) else [])
    scores = sorted(scores)
    if (coupling := coupling_of(work.scorer)) is None:
        return scores
    losses, predictions = coupling.settled(rows, [one.vectors for one in scores if one.vectors is not None])
    settled = zip(scores, losses, predictions, strict=True)
    return [RowScore(one.row, loss, one.targets, said) for one, loss, said in settled]


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients, while the block runs."""
    was_training = model.training
    model.eval()
    try:
        # What was put together for inference alone could not be trained with.
        with torch.no_grad() if is_sharded(model) else torch.inference_mode():
            yield
    finally:
        model.train(was_training)
        reshard(model)


def as_base(settings: Settings, model: nn.Module) -> AbstractContextManager[None]:
    """A block in which a model that isn't trained yet is its base.

    An adapter of virtual tokens changes what the base says from the start, and others cost time. One that took its
    first weights out of the base's has to stay, and so has an earlier run's, which is what training began from.
    """
    traits = settings.strategy.traits
    if not settings.begins_as_base:
        return nullcontext()
    if traits.num_virtual and head_card(settings.model.head).is_new:
        return _without_virtual_tokens(model)
    disable = getattr(model, "disable_adapter", None)
    return nullcontext() if disable is None else disable()


@contextmanager
def _without_virtual_tokens(model: Any) -> Iterator[None]:
    """What peft's own `disable_adapter` would be, which takes it for granted that a model writes."""
    model.forward = model.base_model.forward
    try:
        yield
    finally:
        del model.forward


def _score(
    work: ModelWithScorer, rows: TokenStream, numbers: list[int], device: torch.device, *, with_probabilities: bool
) -> list[RowScore]:
    batch = work.scorer.batch(rows, numbers).to(device)
    if coupling_of(work.scorer) is not None:
        assert batch.sequences is not None
        vectors, owners = work.scorer.logits(work.model, batch).cpu().numpy(), batch.sequences.cpu().numpy()
        return [RowScore(row, 0.0, 1, vectors=vectors[owners == place]) for place, row in enumerate(numbers)]
    if isinstance(work.scorer, ChunkedScorer):
        losses = logits = target_losses(work.scorer, work.model, batch)  # no prediction needs the scores themselves
    elif isinstance(work.scorer, RowScorer) and not is_sharded(work.model):
        logits = work.scorer.quick_logits(work.model, batch)  # without what the head doesn't read
        losses = work.scorer.losses(logits, batch)
    else:
        logits = work.scorer.logits(work.model, batch)
        losses = work.scorer.losses(logits, batch)
    sums = torch.zeros(len(numbers), dtype=torch.float64, device=device)
    sums.index_add_(0, batch.owners, losses.double())
    counts = torch.bincount(batch.owners, minlength=len(numbers)).tolist()
    predicted = work.scorer.predictions(logits, batch)
    scores = [RowScore(*values) for values in zip(numbers, sums.tolist(), counts, predicted, strict=True)]
    if with_probabilities and isinstance(work.scorer, ProbabilityScorer):
        known = work.scorer.probabilities(logits, batch)
        return [replace(one, probabilities=values) for one, values in zip(scores, known, strict=True)]
    return scores


def learn_references(session: Session, work: ModelWithScorer, split: str) -> None:
    """Gives a scorer of preferences the reference's log-probabilities for a split, where its loss compares with them.

    The base is the reference, for an adapter and for full training alike, so no second model is ever held. The figures
    lie in the run's folder under the job's digest; a run that is resumed reads them instead of computing them again.

    Args:
        session: The run.
        work: A model that is as it is before the first step, unless the figures were computed before.
        split: Name of the split; one without rows is skipped.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    rows = session.stream(split)
    if rows is None or not isinstance(work.scorer, PreferenceScorer) or not work.scorer.needs_reference:
        return
    folder = session.folder.references(split)
    # Others may be on a machine that doesn't have the figures, or has had them a moment before this one.
    known = agreed(session.accelerator, lambda: _saved_references(session, folder / _REFERENCES, len(rows)))
    if known is None:
        with session.journal.phase("reference", split):
            # By the arithmetic that they are compared with: training's own for rows that are trained on.
            alike = nullcontext() if split == "train" else faster_linears(work.model)
            with eval_mode(work.model), alike, as_base(session.plan.settings, work.model):
                size = session.plan.settings.eval.batch_size
                batches = list(score_rows(work, rows, size, session.accelerator, session.stop))
            scores = gathered(work, rows, [score for batch in batches for score in batch], session.accelerator)
            known = torch.tensor([score.predicted[:2] for score in scores], dtype=torch.float32)
        session.prove_inputs()
        if session.is_first:
            with building_folder(folder) as temporary:
                write_tensors(temporary / _REFERENCES, {_references_name(session, known): known}, {"format": "pt"})
    work.scorer.learn_references(rows, known)


def _saved_references(session: Session, path: Path, count: int) -> torch.Tensor | None:
    """(rows, 2) the figures of an earlier segment of this job, if they are there and whole."""
    try:
        tensors = read_tensors(path)
    except OSError:
        return None
    named = (one for name, one in tensors.items() if name == _references_name(session, one))
    return next((one for one in named if one.shape == (count, 2)), None)


def _references_name(session: Session, known: torch.Tensor) -> str:
    """A name that no figures of another job, and no damaged ones, can have."""
    return f"{session.job_sha256}/{content_digest({'log_probs': known})}"
