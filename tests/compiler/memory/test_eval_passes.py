"""What is measured is planned for as it is read: no more rows at once than there are, no look larger than the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.batch_shapes import evaluation_batch
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import decided, draft_of

WRITTEN: dict[str, Any] = {"task": {"kind": "generation", "prompt": "{{ text }}"}}
READ: dict[str, Any] = {"task": {"kind": "chat"}}


def rows(count: int, length: int, scored: int) -> RowLengths:
    tokens, targets = np.full(count, length), np.full(count, scored)
    return RowLengths(tokens, tokens - targets, targets, tokens // 2)


def settled(lengths: dict[str, RowLengths] | None = None, **recipe: Any) -> ClosedDraft:
    draft = replace(draft_of(**recipe), lengths=lengths or {})
    return decided(draft)


@pytest.mark.parametrize(
    ("splits", "devices", "most"),
    [
        ({"train": 100, "validation": 3, "test": 7}, 1, 7),
        ({"train": 100, "validation": 9, "test": 7}, 2, 5),
        ({"train": 100, "test": 500}, 1, 32),
        ({"train": 100}, 1, 32),
    ],
)
def test_no_more_rows_are_read_at_once_than_there_are(splits: dict[str, int], devices: int, most: int) -> None:
    draft = settled(splits=splits, budget={"devices": devices})
    assert draft.candidate.eval_batch == most
    beside = settled({"retention": rows(20, 50, 49)}, splits=splits, budget={"devices": devices})
    assert beside.candidate.eval_batch == (max(most, 20 // devices) if "test" in splits else most)


@pytest.mark.parametrize("recipe", [WRITTEN, READ], ids=["written", "read"])
def test_no_look_takes_more_than_the_batch_that_is_planned(recipe: dict[str, Any]) -> None:
    looks = {"validation": (40, 60, 59), "test": (10, 100, 20), "retention": (4, 1000, 999), "swaps": (3, 90, 20)}
    lengths = {name: rows(*look) for name, look in looks.items()}
    splits = {"train": 100, "validation": 40, "test": 10}
    found = evaluation_batch(settled(lengths, splits=splits, **recipe))
    assert found is not None
    count, shape = found
    assert shape.length == 1000
    for name, (size, length, scored) in looks.items():
        size = min(size, 32)
        assert count * shape.length >= size * (100 if name in splits else length)  # the reports know no better
        assert count * shape.supervised >= size * (20 if name in splits else scored)
    assert count == 10 if recipe is WRITTEN else count < 10, "answers need a place each, rows that are read don't"


def test_a_batch_by_hand_is_planned_for_as_far_as_there_are_rows() -> None:
    few, same = (settled(splits={"train": 100, "test": 6}, eval={"batch_size": size}) for size in (64, 6))
    assert few.candidate.eval_batch == 64
    assert few.memory == same.memory


def test_preferences_are_compared_on_the_rows_that_are_learned_from() -> None:
    found = evaluation_batch(settled(splits={"train": 100}, task={"kind": "preference"}))
    assert found is not None
    assert found[0] == 32
    assert evaluation_batch(settled(splits={"train": 100})) is None
