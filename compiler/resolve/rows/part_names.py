"""The column of a part that the recipe doesn't name, by the usual names of the part: for recognition and `ftc init`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftc.spec.tasks import PARTS

__all__ = ["column_for", "likely_column"]


def column_for(part: str, columns: Sequence[str]) -> str | None:
    """The column that plays a part beyond doubt: the one of its name, else the only one with a usual name."""
    if part in columns:
        return part
    usual = [column for column in columns if column.lower() in PARTS[part].columns]
    return usual[0] if len(usual) == 1 else None


def likely_column(part: str, columns: Iterable[str]) -> str | None:
    """The column that most likely plays a part, by its name."""
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in PARTS[part].columns if name in by_name), None)
