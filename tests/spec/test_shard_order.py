"""The order of rows in several files: each row once an epoch, by seed and step alone, and few files at once."""

from __future__ import annotations

import numpy as np
import pytest

from ftc.spec import batches
from ftc.spec.batches import BatchOrder

SIZES = [7, 5, 9, 6, 8, 5, 7, 9, 4, 6]
COUNT = sum(SIZES)
STARTS = tuple(np.cumsum([0, *SIZES[:-1]]).tolist())
SHARD = np.repeat(np.arange(len(SIZES)), SIZES)
LENGTHS = np.arange(COUNT) % 13 + 1


def order(shards: tuple[int, ...], seed: int = 3, batching: str = "shuffled") -> BatchOrder:
    return BatchOrder(LENGTHS, 4, -(-COUNT // 4), seed, batching=batching, shards=shards)  # type: ignore[arg-type]


def epoch(made: BatchOrder, number: int) -> list[int]:
    steps = range(number * made.steps_per_epoch, (number + 1) * made.steps_per_epoch)
    return [row for step in steps for row in made.rows(step)]


@pytest.mark.parametrize("batching", ["shuffled", "length_grouped"])
def test_an_epoch_has_each_row_once(batching: str) -> None:
    made = order(STARTS, batching=batching)
    assert sorted(epoch(made, 0)) == sorted(epoch(made, 1)) == [*range(COUNT)]
    assert epoch(made, 0) != epoch(made, 1)


def test_the_order_is_a_function_of_seed_and_step() -> None:
    backwards = order(STARTS)
    steps = {step: backwards.rows(step) for step in reversed(range(2 * backwards.steps_per_epoch))}
    assert [row for step in sorted(steps) for row in steps[step]] == epoch(order(STARTS), 0) + epoch(order(STARTS), 1)
    assert epoch(order(STARTS, seed=4), 0) != epoch(order(STARTS), 0)


def test_rows_of_a_few_files_come_together() -> None:
    rows = epoch(order(STARTS), 0)
    shards = SHARD[rows].tolist()
    windows, window = [], list[int]()
    for one in dict.fromkeys(shards):
        window.append(one)
        if len(window) == batches._WINDOW_SHARDS:
            windows.append(window)
            window = []
    windows.append(window)
    begin = 0
    for some in windows:
        count = sum(SIZES[one] for one in some)
        assert set(shards[begin : begin + count]) == set(some)
        begin += count
    assert begin == COUNT
    assert len(set(shards[: sum(SIZES[one] for one in windows[0]) // 2])) > 1, "they are mixed"


def test_batches_of_like_length_keep_files_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_POOL_BATCHES", 3)
    shards = SHARD[epoch(order(STARTS, batching="length_grouped"), 0)].tolist()
    steps = [shards[start : start + 4] for start in range(0, COUNT, 4)]
    drawn = SHARD[epoch(order(STARTS), 0)].tolist()
    first = set([*dict.fromkeys(drawn)][: batches._WINDOW_SHARDS])
    inside = sum(SIZES[one] for one in first) // 4
    assert {one for step in steps[:inside] for one in step} == first
    assert sum(bool(first & {*step}) for step in steps[inside:]) == 1, "the batch at the border has rows of both"


@pytest.mark.parametrize("shards", [(), (0,), STARTS[: batches._WINDOW_SHARDS]])
def test_few_files_have_the_order_of_one(shards: tuple[int, ...]) -> None:
    generator = np.random.Generator(np.random.PCG64([3, 1]))
    assert epoch(order(shards), 1) == generator.permutation(COUNT).tolist()
