"""Text that another program wrote in place of no value, such as `nan`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.table import Table, shown
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["missing_looking"]

_MARKS = frozenset("nan NaN NAN <NA> NaT None null NULL #N/A #NA #NAME? #NULL! #NUM! #REF! #VALUE! #DIV/0!".split())
"""What data frames, databases, Python and spreadsheets write where there is nothing, or where a formula failed."""
_PARTS = ("text", "label")
"""Parts of tasks in which such a word is hardly ever meant; an answer may well be `null`."""


def missing_looking(table: Table, columns: Columns, meant: Collection[str]) -> Iterator[Diagnostic]:
    """A warning for each column that holds such marks; `meant` are labels that the recipe names."""
    for column in (columns.by_part[part] for part in _PARTS if part in columns.by_part):
        values = [str(row.get(column)) if isinstance(row.get(column), str) else "" for row in table.rows]
        rows = [row for row, value in enumerate(values) if value.strip() in _MARKS and value not in meant]
        if rows:
            marks = ", ".join(shown(mark) for mark in sorted({values[row] for row in rows})[:5])
            yield diagnostic(
                "FTC368",
                f"column `{column}` reads as if nothing were there, in {len(rows):,} of {len(table.rows):,} rows",
                table.span(rows[0]),
                help="delete the rows, or fill them in; a class of that name goes into `task.labels`",
                notes=[f"{table.file}, {table.places(rows)}: {marks}"],
                path="data.source",
            )
