"""Several labels of a row in one cell, or in columns of 0 and 1: how they are read, and recognized. Pure."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from ftc.compiler.resolve.rows.ratings import flag_of
from ftc.compiler.resolve.rows.row_store import Row

__all__ = ["FEWEST_FLAGS", "flag_columns", "joined_cells", "labels_in", "list_in", "separator_of"]

_SEPARATORS = (";", "|", ",")
"""What people put between the labels of a cell."""
_DECIMAL = re.compile(r"[+-]?\d+,\d+")
_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PYTHON_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:[\s,]+{_ITEM})*,?)?\s*\]")
_MOST_CHARS = 10_000
"""Of a cell that may be a list; longer ones are texts."""
_MOST_READ = 5_000
FEWEST_FLAGS = 3
"""Columns of 0 and 1 from which a table is one-hot: one or two are features of a row as well."""


def list_in(text: str) -> list[Any] | None:
    """The list that a text is, as JSON writes it, or Python and its data frames do with quotes; None for another."""
    begin = text.strip()
    if not begin.startswith("[") or not begin.endswith("]") or len(begin) > _MOST_CHARS:
        return None
    try:
        found = json.loads(begin)
    except (ValueError, RecursionError):
        return _python_list(begin) if _PYTHON_LIST.fullmatch(begin) else None
    return found if isinstance(found, list) else None


def _python_list(text: str) -> list[str] | None:
    """The texts between quotes, each as Python reads it; None where it reads one as no text."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of an escape that Python has none for, which stays as it is
            found = [_python_text(item) if "\\" in item else item[1:-1] for item in re.findall(_ITEM, text)]
        "".join(found).encode()  # half of a surrogate pair is no text
    except (ValueError, SyntaxError):
        return None
    return found


def _python_text(item: str) -> str:
    """What a text in quotes says with its escapes; in three quotes a line may end in it. Nothing of it is executed."""
    found: str = ast.literal_eval(f"{item[0] * 2}{item}{item[0] * 2}")
    return found


def labels_in(cell: str, separator: str | None) -> list[Any] | None:
    """The labels in a cell of text: those of a list, else those between separators, each once; None without either."""
    if (found := list_in(cell)) is not None or separator is None:
        return found
    return [*dict.fromkeys(part for one in cell.split(separator) if (part := one.strip()))]


def separator_of(counts: Mapping[str, int]) -> str | None:
    """What stands between several labels of a cell, where at least half of the rows that have it hold labels that stand
    in other cells as well; None where each cell is one label.

    Args:
        counts: How often each different cell occurs.
    """
    for separator in _SEPARATORS:
        parts = {cell: _parts(cell, separator) for cell in counts}
        joined = [cell for cell, found in parts.items() if len(found) > 1]
        if not joined or (separator == "," and all(map(_DECIMAL.fullmatch, joined))):
            continue
        owners = Counter(part for found in parts.values() for part in set(found))
        telling = [cell for cell in joined if all(owners[part] > 1 for part in parts[cell])]
        if 2 * sum(counts[cell] for cell in telling) >= sum(counts[cell] for cell in joined):
            return separator
    return None


def _parts(cell: str, separator: str) -> list[str]:
    found = [one.strip() for one in cell.split(separator)]
    return [cell] if "" in found else found


def flag_columns(rows: Sequence[Row], columns: Collection[str]) -> tuple[str, ...]:
    """Columns of 0 and 1, or of false and true, that have both: a label each, as one-hot tables have them."""
    kept: dict[str, set[bool]] = {column: set() for column in columns}
    for row in islice(rows, _MOST_READ):
        for column in [*kept]:
            if (flag := flag_of(row.get(column))) is None:
                del kept[column]
            else:
                kept[column].add(flag)
    return tuple(column for column, seen in kept.items() if len(seen) > 1)


def joined_cells(counts: Mapping[str, int]) -> tuple[list[str], str | None]:
    """The cells that hold several labels, with what separates them; lists need nothing that does."""
    if lists := [cell for cell in counts if list_in(cell) is not None]:
        return lists, None
    separator = separator_of(counts)
    return [cell for cell in counts if separator is not None and len(_parts(cell, separator)) > 1], separator
