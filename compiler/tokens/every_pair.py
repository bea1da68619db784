"""Rows of several preferred and several rejected answers: a pair of each preferred answer with each rejected one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.ratings import answers_in
from ftc.compiler.resolve.rows.splits import Part
from ftc.compiler.resolve.rows.table import JoinedTable, PartRows, Row
from ftc.spec.documents.plan import Check
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import CHOSEN_COLUMN, PAIR_WEIGHT_COLUMN, REJECTED_COLUMN, PairRows

__all__ = ["every_pair", "with_every_pair"]


def with_every_pair(data: ResolvedData, task: Task) -> ResolvedData:
    """The rows of a task of pairs with every pair; of other tasks as they are."""
    if not isinstance(task.rows(), PairRows):
        return data
    parts, told = every_pair(data.parts, data.columns.by_part)
    return replace(data, parts=parts, checks=(*data.checks, *told))


def every_pair(
    parts: Mapping[Part, PartRows], columns: Mapping[str, str]
) -> tuple[Mapping[Part, PartRows], tuple[Check, ...]]:
    """The parts with every pair as a row of its own, and a line for the plan; unchanged where no row has several.

    The weights of a row's pairs are alike, those of all rows add up to the same, and their mean over a part is 1.

    Args:
        parts: Rows by part, so that all pairs of a row are in one.
        columns: Column by part of the task.
    """
    names = columns["chosen"], columns["rejected"]

    def count(row: Row) -> int | None:
        pairs = math.prod(len(answers_in(row[name])) for name in names)
        return None if pairs == 1 else pairs

    counts = {name: np.ones(len(part.numbers), np.int64) for name, part in parts.items()}
    for name, part in parts.items():
        for place, pairs in found_in(part.rows, count):
            counts[name][place] = pairs
    if all((each == 1).all() for each in counts.values()):
        return parts, ()
    made: dict[Part, PartRows] = {name: _paired(part, names, counts[name]) for name, part in parts.items()}
    pairs, rows = (sum(len(part.numbers) for part in some.values()) for some in (made, parts))
    told = f"{pairs:,} of {rows:,} rows; a row has the same weight however many it has"
    return made, (Check(name="pairs", code=None, result=told),)


def _paired(part: PartRows, names: tuple[str, str], counts: NDArray[np.int64]) -> PartRows:
    """A part with the pairs of its rows, as many of each as `counts` says, none of which stays in memory."""
    total = int(counts.sum())
    mean = len(part.numbers) / max(1, total)

    def rows() -> Iterator[Row]:
        for row in part.rows:
            chosen, rejected = (answers_in(row[name]) for name in names)
            weight = 1 / max(1, len(chosen) * len(rejected)) / mean
            for better, worse in product(chosen, rejected):
                yield {**row, CHOSEN_COLUMN: better, REJECTED_COLUMN: worse, PAIR_WEIGHT_COLUMN: weight}

    made_of = array("q", np.repeat(np.array(part.numbers, np.int64), counts).tobytes())
    first = len(part.table.rows)
    return PartRows(JoinedTable.with_rows(part.table, rows(), made_of), range(first, first + total))
