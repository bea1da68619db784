"""Answers to other prompts, one beside each rated answer: from them KTO estimates how far the model has moved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from ftc.compiler.resolve.rows.row_digests import digests_of_each, first_equal
from ftc.compiler.resolve.rows.row_store import rewrite
from ftc.compiler.resolve.rows.table import PartRows
from ftc.spec.tasks.rows import ASKED_COLUMN, OTHER_ANSWER_COLUMN

__all__ = ["write_other_answers"]


def write_other_answers(part: PartRows, columns: Mapping[str, str]) -> None:
    """Gives each row of a split, in place, the answer of the next row with another prompt, the first after the last.

    Rows that all have one prompt get the answer of the next row.

    Args:
        part: A split, so that no row of another reaches training.
        columns: Column by part.
    """
    rows = part.rows
    prompts = digests_of_each(
        rows,
        lambda row: (
            row[columns["messages"]][:-1]
            if "messages" in columns
            else [row[columns["prompt"]], *row.get(ASKED_COLUMN, ())]
        ),
    )
    asked, total = first_equal(prompts), len(rows)
    following = np.roll(np.arange(total), -1)
    for place in (*range(total - 1, -1, -1), *range(total - 1, -1, -1)):  # twice: behind the last comes the first
        after = (place + 1) % total
        following[place] = after if asked[after] != asked[place] else following[after]
    own, numbers = np.array(part.numbers, np.int64), count()

    def change(row: dict[str, Any]) -> None:
        place = int(np.searchsorted(own, number := next(numbers)))
        if place < total and own[place] == number:
            other = int(following[place]) if asked[following[place]] != asked[place] else (place + 1) % total
            row[OTHER_ANSWER_COLUMN] = _answer(row, rows[other], columns)

    rewrite(part.table.rows, change)


def _answer(row: Mapping[str, Any], other: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
    if "messages" in columns:
        return [*row[columns["messages"]][:-1], other[columns["messages"]][-1]]
    return other[columns["completion"]]
