"""How a row is named everywhere: in findings, reports, predictions and `ftc tokens --row`."""

from __future__ import annotations

__all__ = ["row_list", "row_name", "shown_row"]


def row_name(file: str, line: int | None, number: int) -> str:
    """A row's name: `data/tickets.csv:38`, as editors and compilers name a place.

    Args:
        file: The file's name for people, relative to the project.
        line: Line on which the row begins, from 1; None where the file's format has no lines.
        number: The row's number in the file, from 0, which then stands in its place: `data/tickets.parquet#38`.
    """
    return f"{file}#{number + 1}" if line is None else f"{file}:{line}"


def row_list(names: list[str], of: int) -> str:
    """The first few of several rows: `data/tickets.csv:3, 7, 9 and 12 more`; a file is named once until it changes.

    Args:
        names: The rows that are named.
        of: How many rows there are in all.
    """
    listed, before = [], ""
    for name in names:
        sign = max(name.rfind(":"), name.rfind("#"))
        file, place = name[: sign + 1], name[sign + 1 :]
        listed.append(place if file == before else name)
        before = file
    more = f" and {of - len(names):,} more" if of > len(names) else ""
    return ", ".join(listed) + more


def shown_row(place: str, row: int) -> str:
    """A row for people by its name, or by its number from 1 where an older release kept no name."""
    return place or f"row {row + 1}"
