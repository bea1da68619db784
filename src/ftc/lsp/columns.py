"""Names of the columns of a recipe's data file, read off its first lines: enough to complete them, and no more."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.spec.language.text_checks import masked

__all__ = ["columns_of"]

MOST_BYTES = 64 * 1024
"""Bytes of the file that are read: an editor asks at every key stroke."""
MOST_COLUMNS = 200
LONGEST_NAME = 100
"""Characters; a longer one is hardly a name."""

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


def columns_of(recipe: Path, data: str) -> tuple[str, ...]:
    """The columns of a file of text rows, in its order; none where it is of another kind or can't be read.

    Args:
        recipe: The recipe's file.
        data: The path that it holds, which is followed inside the project alone.
    """
    try:
        file = safe_path(project_root(recipe), data, recipe.resolve().parent)
        if not file.is_file():
            return ()
        with file.open("rb") as opened:
            head = opened.read(MOST_BYTES)
    except (UnsafePath, OSError, ValueError):
        return ()
    text = masked(head.decode("utf-8", "replace").removeprefix("\ufeff"))
    names = _names(text, file.suffix.lower())
    return tuple(dict.fromkeys(name for name in names if name and len(name) <= LONGEST_NAME))[:MOST_COLUMNS]


def _names(text: str, suffix: str) -> list[str]:
    first = text.splitlines()[0] if text.strip() else ""
    if suffix in _SEPARATORS:
        try:
            return next(csv.reader([first], delimiter=_SEPARATORS[suffix]), [])
        except csv.Error:
            return []
    if suffix in _JSON_LINES:
        try:
            row = json.loads(first)
        except (ValueError, RecursionError):
            return []
        return list(row) if isinstance(row, dict) else []
    return []
