"""The order of rows: every row once an epoch, a function of seed and step alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ftc.spec.batches import BatchOrder

Lengths = NDArray[np.int64]
_LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))


def _order(lengths: Lengths, batch_size: int, seed: int = 3) -> BatchOrder:
    return BatchOrder(lengths, batch_size, -(-len(lengths) // batch_size), seed)


@given(_LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_holds_every_row_once(lengths: Lengths, batch_size: int, epoch: int) -> None:
    order = _order(lengths, batch_size)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    assert sorted(row for step in steps for row in order.rows(step)) == list(range(len(lengths)))


@given(_LENGTHS, st.integers(1, 9), st.integers(0, 20), st.integers(1, 4), st.integers(1, 3))
def test_devices_and_micro_batches_divide_a_step(
    lengths: Lengths, batch_size: int, step: int, micro_batch: int, world_size: int
) -> None:
    order = _order(lengths, batch_size)
    pieces = [order.micro_batches(step, micro_batch, rank, world_size) for rank in range(world_size)]
    assert sorted(row for of_rank in pieces for piece in of_rank for row in piece) == sorted(order.rows(step))
    assert all(0 < len(piece) <= micro_batch for of_rank in pieces for piece in of_rank)


@given(_LENGTHS, st.integers(1, 9), st.integers(0, 20), st.integers(1, 4))
def test_rows_of_a_micro_batch_are_neighbors_in_length(
    lengths: Lengths, batch_size: int, step: int, micro_batch: int
) -> None:
    pieces = _order(lengths, batch_size).micro_batches(step, micro_batch, 0, 1)
    in_order = [lengths[row] for piece in pieces for row in piece]
    assert in_order == sorted(in_order, reverse=True)


@given(_LENGTHS, st.integers(1, 9), st.integers(0, 20))
def test_order_depends_on_seed_and_step_alone(lengths: Lengths, batch_size: int, step: int) -> None:
    once, again = _order(lengths, batch_size), _order(lengths, batch_size)
    once.rows(step + 1)
    assert once.rows(step) == again.rows(step)


def test_another_seed_and_another_epoch_give_other_orders() -> None:
    lengths = np.ones(50, dtype=np.int64)
    rows = _order(lengths, 50).rows
    assert rows(0) != rows(1)
    assert rows(0) != _order(lengths, 50, seed=4).rows(0)
