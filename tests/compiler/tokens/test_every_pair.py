"""Rows of several preferred and rejected answers become pairs, and weigh as much as any other row."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.resolve.rows.table import PartRows, Table
from ftc.compiler.tokens.every_pair import every_pair
from ftc.spec.tasks.rows import CHOSEN_COLUMN, PAIR_WEIGHT_COLUMN, REJECTED_COLUMN

COLUMNS = {"prompt": "p", "chosen": "c", "rejected": "r"}


def parts_of(*answers: tuple[Any, Any]) -> dict[Any, PartRows]:
    rows = [{"p": str(number), "c": chosen, "r": rejected} for number, (chosen, rejected) in enumerate(answers)]
    return {"train": PartRows.whole(Table("rows.jsonl", ("p", "c", "r"), rows, lines=[*range(1, len(rows) + 1)]))}


def test_each_preferred_answer_is_compared_with_each_rejected_one() -> None:
    made, (told,) = every_pair(parts_of((["a", "b"], ["c", "d"]), ("e", "f")), COLUMNS)
    rows = list(made["train"].rows)
    pairs = [(row["p"], row[CHOSEN_COLUMN], row[REJECTED_COLUMN]) for row in rows]
    assert pairs == [("0", "a", "c"), ("0", "a", "d"), ("0", "b", "c"), ("0", "b", "d"), ("1", "e", "f")]
    weights = [row[PAIR_WEIGHT_COLUMN] for row in rows]
    assert weights == pytest.approx([0.625] * 4 + [2.5]), "each row has half of the five pairs' weight"
    assert [row["c"] for row in rows] == [["a", "b"]] * 4 + ["e"], "what a row is known by stays"
    assert len({made["train"].place(number) for number in made["train"].numbers}) == 2
    assert told.result == "5 of 2 rows; a row has the same weight however many it has"


def test_rows_with_as_many_pairs_have_weights_of_one() -> None:
    made, _ = every_pair(parts_of((["a"], ["c", "d", "e"]), (["b"], ["f", "g", "h"])), COLUMNS)
    assert [row[PAIR_WEIGHT_COLUMN] for row in made["train"].rows] == [1.0] * 6


def test_single_answers_and_conversations_stay_as_they_are() -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    parts = parts_of(("a", "b"), (turns, turns))
    assert every_pair(parts, COLUMNS) == (parts, ())
