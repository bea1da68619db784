"""Which rows go through the model when: a pure function of the seed and the step.

An epoch is a permutation of the rows, cut into optimiser batches. Inside one of them rows are sorted by length, dealt
to the devices and cut into micro-batches, so that rows of one micro-batch need little padding. Since the loss is
normalised by the supervised tokens of the whole optimiser batch, that changes no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchOrder", "by_length", "cut", "share_of"]


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The order of a training run's rows."""

    lengths: NDArray[np.int64]
    """Tokens of each row."""
    batch_size: int
    """Rows of one optimiser step; the last step of an epoch takes what is left."""
    steps_per_epoch: int
    seed: int

    def rows(self, step: int) -> list[int]:
        """Rows of an optimiser step, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = self._permutation(epoch)
        return [int(row) for row in order[index * self.batch_size : (index + 1) * self.batch_size]]

    def micro_batches(self, step: int, micro_batch: int, rank: int, world_size: int) -> list[list[int]]:
        """One device's part of an optimiser step; empty when the step has fewer rows than there are devices."""
        return cut(share_of(by_length(self.rows(step), self.lengths), rank, world_size), micro_batch)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        return generator.permutation(len(self.lengths))


def by_length(rows: list[int], lengths: NDArray[np.int64]) -> list[int]:
    """Rows from the longest to the shortest, so that memory runs out at once or never; equal ones by number."""
    return sorted(rows, key=lambda row: (-int(lengths[row]), row))


def share_of(rows: list[int], rank: int, world_size: int) -> list[int]:
    """One device's rows, dealt like cards, so that all devices get about as much work."""
    return rows[rank::world_size]


def cut(rows: list[int], size: int) -> list[list[int]]:
    """Pieces of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
