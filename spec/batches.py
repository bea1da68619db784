"""Which rows go through the model when: a pure function of the seed and the step.

An epoch is a permutation of the rows, cut into optimizer batches; rows that lie in many shards of a stream are permuted
within a few of them at a time. Inside a batch rows are sorted by length, dealt to the devices and cut into
micro-batches, or packed into sequences, so that little or no padding is needed. Since the loss is normalized by the
supervised tokens of the whole optimizer batch, that changes no gradient.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ftc.spec.documents.settings import Settings
    from ftc.spec.documents.streams import TokenStream

__all__ = [
    "LEAST_COMPILED_STEPS",
    "LEAST_SHARED",
    "LEAVE_TOGETHER",
    "BatchOrder",
    "by_length",
    "cut",
    "cut_by_tokens",
    "first_fit_decreasing",
    "processor_batch",
    "scored_at_once",
    "share_of",
]

_POOL_BATCHES = 64
"""Optimizer batches among whose rows like lengths are looked for; chance still has most of the say."""
_WINDOW_SHARDS = 4
"""Files whose rows are drawn from together; with as many or fewer of them, each row may follow each."""
_MOST_TIMES = 8
"""How many times the planned rows of a batch short ones may be."""
_PROCESSOR_TOKENS = 2000
"""Tokens whose states a CPU's memory lends again from layer to layer; more than those take it longer each. Widths
to 4,096 stay below 32 MiB, from which glibc has the system lend and clear each piece again."""
LEAST_SHARED = 16
"""Tokens that prompts share and that are worth a pass of their own, in which a device has little to do."""
LEAST_COMPILED_STEPS = 2000
"""Tokens written one after the other that win compiling back: each spares ten milliseconds or more of launches."""
LEAVE_TOGETHER = 4
"""One of so many rows of a batch has to have ended before it goes on without those that have: to go on costs a copy of
the cache, about as much as a token."""


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The order of a training run's rows."""

    lengths: NDArray[np.int64]
    """Tokens of each row."""
    batch_size: int
    """Rows of one optimizer step; the last step of an epoch takes what is left."""
    steps_per_epoch: int
    seed: int
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """Whether an optimizer step's rows are of like length."""
    most_tokens: int | None = None
    """Tokens of a micro-batch, padding included; one row may have more."""
    packs: bool = False
    """Whether a micro-batch is one sequence of several rows, of at most `most_tokens`."""
    shards: tuple[int, ...] = ()
    """First row of each of the files that the rows lie in; none where they lie in one."""
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, rows: TokenStream, settings: Settings, answers: int = 1) -> BatchOrder:
        """The order in which a plan's run trains on rows, wherever it is asked for.

        Args:
            rows: The training split.
            settings: The plan's.
            answers: Answers that are written to each row of a step, which count as rows of it.
        """
        train = settings.train
        return cls(
            rows.lengths,
            train.batch_size // answers,
            train.steps_per_epoch,
            settings.seeds.order,
            batching=train.batching,
            most_tokens=train.micro_batch_tokens,
            packs=train.packing,
            shards=rows.shard_starts,
        )

    def rows(self, step: int) -> list[int]:
        """Rows of an optimizer step, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)
        return [int(row) for row in order[index * self.batch_size : (index + 1) * self.batch_size]]

    def micro_batches(self, step: int, micro_batch: int, rank: int, world_size: int) -> list[list[int]]:
        """One device's part of an optimizer step; empty when the step has fewer rows than there are devices."""
        rows = share_of(by_length(self.rows(step), self.lengths), rank, world_size)
        if self.most_tokens is None:
            return cut(rows, micro_batch)
        if self.packs:
            return first_fit_decreasing(rows, self.lengths, self.most_tokens)
        return cut_by_tokens(rows, self.lengths, micro_batch, self.most_tokens)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The epoch's rows in their order; the last epoch asked for is kept."""
        if epoch not in self._orders:
            self._orders.clear()
            if self.batching == "shuffled":
                self._orders[epoch] = _shuffled(self.seed, epoch, len(self.lengths), self.shards)
            else:
                generator = _generator(self.seed, epoch)
                windows = _windows(generator, len(self.lengths), self.shards)
                self._orders[epoch] = self._grouped(windows, generator)
        return self._orders[epoch]

    def _grouped(self, windows: list[NDArray[np.int64]], generator: np.random.Generator) -> NDArray[np.int64]:
        """The rows with those of like length in one batch, and the batches of each window in an order of their own.

        The batch that isn't whole stays the last, so that every step has its size.
        """
        pool = _POOL_BATCHES * self.batch_size
        pools = [one[start : start + pool] for one in windows for start in range(0, len(one), pool)]
        sorted_ = np.concatenate([rows[np.argsort(-self.lengths[rows], kind="stable")] for rows in pools])
        whole = len(sorted_) // self.batch_size
        batches = sorted_[: whole * self.batch_size].reshape(whole, self.batch_size)
        ends = [*(np.cumsum([len(one) for one in windows[:-1]]) // self.batch_size), whole]
        parts = zip([0, *ends[:-1]], ends, strict=True)
        drawn = np.concatenate([begin + generator.permutation(end - begin) for begin, end in parts])
        return np.concatenate([batches[drawn].reshape(-1), sorted_[whole * self.batch_size :]])


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, epoch]))


@functools.lru_cache(maxsize=1)
def _shuffled(seed: int, epoch: int, count: int, shards: tuple[int, ...]) -> NDArray[np.int64]:
    """All rows in a random order. A plan asks for the same one for each size of a batch that it tries."""
    windows = _windows(_generator(seed, epoch), count, shards)
    order = windows[0] if len(windows) == 1 else np.concatenate(windows)
    order.flags.writeable = False
    return order


def _windows(generator: np.random.Generator, count: int, shards: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """All rows in a random order: of several shards those of a few that are drawn together, then of others, so that
    the tokens of a part of the rows alone have to be in memory.
    """
    bounds = [*shards, count]
    if len(bounds) <= _WINDOW_SHARDS + 1:
        return [generator.permutation(count)]
    drawn = generator.permutation(len(shards)).tolist()
    windows = [drawn[start : start + _WINDOW_SHARDS] for start in range(0, len(drawn), _WINDOW_SHARDS)]
    rows = [np.concatenate([np.arange(bounds[one], bounds[one + 1]) for one in window]) for window in windows]
    return [generator.permutation(some) for some in rows]


def by_length(rows: list[int], lengths: NDArray[np.int64]) -> list[int]:
    """Rows from the longest to the shortest, so that memory runs out at once or never; equal ones by number."""
    return sorted(rows, key=lambda row: (-int(lengths[row]), row))


def share_of(rows: list[int], rank: int, world_size: int) -> list[int]:
    """One device's rows, dealt like cards, so that all devices get about as much work."""
    return rows[rank::world_size]


def cut(rows: list[int], size: int) -> list[list[int]]:
    """Pieces of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def cut_by_tokens(rows: list[int], lengths: NDArray[np.int64], size: int, most_tokens: int) -> list[list[int]]:
    """Pieces of at most `size` rows whose padded tokens don't exceed a number; a longer row goes alone.

    Args:
        rows: From the longest to the shortest, so that the first of a piece tells its width.
        lengths: Tokens of each row.
        size: Most rows of a piece.
        most_tokens: Most tokens of a piece, padding included.
    """
    pieces: list[list[int]] = []
    for row in rows:
        piece = pieces[-1] if pieces else None
        if piece and len(piece) < size and (len(piece) + 1) * int(lengths[piece[0]]) <= most_tokens:
            piece.append(row)
        else:
            pieces.append([row])
    return pieces


def scored_at_once(rows: list[int], lengths: NDArray[np.int64], size: int, *, whole_rows: bool) -> list[list[int]]:
    """Rows that are scored without a gradient, in batches.

    Where each row is decided on as a whole, memory goes by tokens, so that short rows go in larger batches of no more
    tokens than the first. Where tokens are predicted it goes by those, which shorter rows may have as many of.

    Args:
        rows: From the longest to the shortest.
        lengths: Tokens of each row.
        size: Rows of a batch of the longest.
        whole_rows: Whether each row gets one decision.
    """
    if not rows or not whole_rows:
        return cut(rows, size)
    return cut_by_tokens(rows, lengths, _MOST_TIMES * size, size * int(lengths[rows[0]]))


def processor_batch(size: int, longest: int) -> int:
    """Rows of a look that decides on each as a whole on a processor: no more of the longest than it goes fast with."""
    return max(1, min(size, _PROCESSOR_TOKENS // max(1, longest)))


def first_fit_decreasing(rows: list[int], lengths: NDArray[np.int64], most_tokens: int) -> list[list[int]]:
    """Packs of at most so many tokens; a longer row goes alone.

    Each row goes into the first pack that has room (Johnson 1973): at most 11/9 of the packs that the best division
    needs, and one more.

    Args:
        rows: From the longest to the shortest.
        lengths: Tokens of each row.
        most_tokens: Most tokens of a pack.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for row in rows:
        length = int(lengths[row])
        fit = next((number for number, left in enumerate(room) if left >= length), None)
        if fit is None:
            packs.append([row])
            room.append(most_tokens - length)
        else:
            packs[fit].append(row)
            room[fit] -= length
    return packs
