"""Groups of test rows: what the columns that the recipe slices by say of each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ftc.compiler.resolve.rows.table import PartRows, without_form
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.slices import MOST_GROUPS, NO_VALUE, Groups
from ftc.spec.language.did_you_mean import nearest

__all__ = ["groups_of"]


def groups_of(slices: Sequence[str], part: PartRows, rows: Sequence[int], builtin: Sequence[str]) -> Groups:
    """The groups of the test rows.

    Args:
        slices: Names of columns, and of slices that need none.
        part: The test rows as they were read.
        rows: Number in the table of each row of the stream.
        builtin: Slices that need no column.

    Raises:
        Refusal: There is no such column, or it has too many values to be groups (FTC241).
    """
    found: list[Diagnostic] = []
    columns: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(slices):
        path = f"eval.slices[{place}]"
        if name in part.table.columns:
            columns[name] = tuple(_group(part.table.rows[number].get(name)) for number in rows)
            found += _too_many(name, columns[name], path)
        elif name not in builtin:
            unread = without_form(part.table, name, None, path)
            found.append(unread or _no_column(name, (*part.table.columns, *builtin), path))
    if found:
        raise Refusal(found)
    return Groups(columns=columns)


def _group(value: Any) -> str:
    """A value as the name of a group."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return NO_VALUE
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _too_many(name: str, values: Sequence[str], path: str) -> list[Diagnostic]:
    count = len(Counter(values))
    if count <= MOST_GROUPS:
        return []
    summary = f"column `{name}` has {count:,} values in {len(values):,} test rows"
    help = f"slice by a column of at most {MOST_GROUPS} values, such as a kind or a range"
    return [diagnostic("FTC241", summary, help=help, path=path)]


def _no_column(name: str, known: Sequence[str], path: str) -> Diagnostic:
    close = nearest(name, known)
    help = f"did you mean `{close}`?" if close else f"slice by one of {', '.join(known[:12])}"
    return diagnostic("FTC241", f"the test rows have no column `{name}`", help=help, path=path)
