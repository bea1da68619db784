"""Rows of a given shape for a plan's head; of their tokens only the last can matter, which ends a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.tasks import objective_of
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from ftc.spec.documents.settings import Settings, TrainSettings
from ftc.spec.documents.streams import Lists, TokenStream
from ftc.spec.heads import head_card
from ftc.spec.text_forms import form_card

__all__ = ["ordered_rows", "packed_halves", "stand_in_rows", "taught_stand_ins"]


class _FirstParts(BatchOrder):
    """An order of which two micro-batches stand for all of a step."""

    def micro_batches(self, step: int, micro_batch: int, rank: int, world_size: int) -> list[list[int]]:
        """The first two."""
        return super().micro_batches(step, micro_batch, rank, world_size)[:2]


def ordered_rows(
    settings: Settings, shape: BatchShape, train: TrainSettings, end_id: int, *, is_coupled: bool
) -> tuple[TokenStream, BatchOrder]:
    """The rows of the loop that is traced, and their order.

    Args:
        settings: The plan's.
        shape: Of each row.
        train: Those of the loop, with as many rows in a step as are traced.
        end_id: The last token of each row.
        is_coupled: Whether all rows of a step are compared, so that something of each is held.
    """
    packs, kind = train.packing, BatchOrder
    if packs:
        rows = packed_halves(settings, shape, train.batch_size)
    elif is_coupled:
        rows, kind = stand_in_rows(settings, shape, max(train.batch_size, settings.train.batch_size)), _FirstParts
    else:
        rows = stand_in_rows(settings, shape, train.batch_size, end_id)
    return rows, kind(rows.lengths, len(rows), 1, 0, most_tokens=shape.length if packs else None, packs=packs)


def stand_in_rows(settings: Settings, shape: BatchShape, count: int, end_id: int = 0) -> TokenStream:
    """As many rows of the largest shape.

    Args:
        settings: Head and task.
        shape: Of each row.
        count: How many.
        end_id: The last token of each; some class heads look for it.
    """
    objective, masks = objective_of(settings), _masks(settings, shape)
    ids = np.zeros(shape.length, dtype=np.int32)
    ids[-1] = end_id
    is_split = head_card(settings.model.head).writes and settings.model.family == "encoder_decoder"
    return TokenStream(
        all_ids=np.tile(ids, count),
        all_masks=np.tile(masks, count),
        boundaries=np.arange(0, shape.length * count + 1, shape.length, dtype=np.int64),
        prompt_lengths=np.full(count, shape.length - shape.supervised if is_split else 0, dtype=np.int32),
        labels=np.zeros(count, dtype=np.int32),
        rows=np.arange(count, dtype=np.int64),
        targets=_lists(objective.stand_in_targets(shape), count),
        offsets=_lists([-1] * (2 * shape.length if objective.has_offsets else 0), count),
        table=None,
    )


def taught_stand_ins(job: TraceJob, count: int) -> TokenStream:
    """As many of the same rows in a teacher's own tokens: a partner for each target of the model's."""
    assert job.taught is not None, "the teacher reads apart"
    rows, own = stand_in_rows(job.settings, job.taught, count), _masks(job.settings, job.train)
    return replace(rows, targets=_lists([0] * int(own[1:].sum()), count))


def packed_halves(settings: Settings, shape: BatchShape, count: int) -> TokenStream:
    """Two rows for each of so many sequences, each pair as long as the shape and with as many supervised tokens."""
    whole = stand_in_rows(settings, shape, count)
    ends = np.arange(1, count + 1, dtype=np.int64) * shape.length
    boundaries = np.stack([ends - shape.length // 2, ends], axis=1).reshape(-1)
    return replace(
        whole,
        boundaries=np.concatenate([[0], boundaries]),
        prompt_lengths=np.repeat(whole.prompt_lengths, 2),
        labels=np.repeat(whole.labels, 2),
        rows=np.arange(2 * count, dtype=np.int64),
        targets=_lists([], 2 * count),
        offsets=_lists([], 2 * count),
    )


def _masks(settings: Settings, shape: BatchShape) -> NDArray[np.bool_]:
    """(T,) supervised tokens: the last ones, of each of two halves where a row is a pair of sequences; of several texts
    the first one of each.
    """
    mask = np.zeros(shape.length, dtype=np.bool_)
    if form_card(settings.text.form).has_texts:
        mask[:: shape.length // shape.supervised][: shape.supervised] = True
        return mask
    if not form_card(settings.text.form).is_pair:
        mask[shape.length - shape.supervised :] = True
        return mask
    half, answer = shape.length // 2, min(shape.supervised, shape.length) // 2
    mask[half - min(half, answer) : half] = mask[shape.length - answer :] = True
    return mask


def _lists(values: list[int], count: int) -> Lists:
    flat = np.array(values * count, dtype=np.int32)
    return Lists(flat, np.arange(count + 1, dtype=np.int64) * len(values))
