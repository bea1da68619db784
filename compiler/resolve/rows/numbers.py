"""Numbers and ratings of rows: names of numbers, what they are measured by, and what says nothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.splits import Part
from ftc.compiler.resolve.rows.table import PartRows, Row
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.loss_settings import TargetScale
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import NUMBERS_COLUMN, RATING_COLUMN, NumberRows, RatedRows

__all__ = ["number_findings", "number_names", "number_scales", "rating_findings"]


def number_names(task: Task, columns: Columns, rows: Sequence[Row]) -> tuple[str, ...]:
    """What each number is called: by its column, and by its place where a column holds several."""
    kind = task.rows()
    if not isinstance(kind, NumberRows):
        return task.output_names
    if kind.columns:
        return kind.columns
    column, count = columns.by_part["score"], len(rows[0][NUMBERS_COLUMN]) if rows else 1
    return (column,) if count == 1 else tuple(f"{column} {place}" for place in range(1, count + 1))


def number_scales(rows: Sequence[Row], count: int) -> tuple[TargetScale, ...]:
    """Mean and standard deviation of each number over the training rows; a spread of 1 where all are alike."""
    found = []
    for place in range(count):
        values = [row[NUMBERS_COLUMN][place] for row in rows]
        mean = math.fsum(values) / max(1, len(values))
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, len(values)))
        found.append(TargetScale(mean=mean, spread=spread or 1.0))
    return tuple(found)


def number_findings(names: Sequence[str], parts: Mapping[Part, PartRows]) -> Iterator[Diagnostic]:
    """Rows with more or fewer numbers than the training rows, and numbers that are the same in all of these."""
    for part, found in parts.items() if names else ():
        if any(len(row[NUMBERS_COLUMN]) != len(names) for row in found.rows):
            yield diagnostic(
                "FTC296",
                f"the {part} rows have another number of scores than the training rows",
                help="write as many numbers in every row",
                path=f"data.split.{part}",
            )
            return
    train = parts["train"].rows
    for place, name in enumerate(names):
        if len({row[NUMBERS_COLUMN][place] for row in train}) < 2:
            yield diagnostic(
                "FTC297",
                f"all training rows have {train[0][NUMBERS_COLUMN][place]:g} in `{name}`",
                help="name the column of the numbers to predict",
                path="data.fields",
            )


def rating_findings(task: Task, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """A warning where all training rows have the same rating."""
    if not isinstance(task.rows(), RatedRows) or not rows:
        return
    is_good = rows[0][RATING_COLUMN]
    if any(row[RATING_COLUMN] != is_good for row in rows):
        return
    kind, other, way = ("good", "bad", "likelier") if is_good else ("bad", "good", "less likely")
    yield diagnostic(
        "FTC374",
        f"all {len(rows):,} training rows are rated {kind}",
        help=(f"add answers that are rated {other}", "or name the column of the ratings in `data.fields.rating`"),
        notes=[f"without {other} answers the loss only makes answers {way}, whatever they say"],
        path="data.fields",
        severity=Severity.WARNING,
    )
