"""What is known of a data file before a row is read: how to read it, or that it isn't there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest

__all__ = ["USUAL_READING", "Reading", "SpanOf", "absent_file"]

SpanOf = Callable[[str], Span | None]
"""Place in the recipe of the value at a dotted path, such as `data.fields.text`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a recipe says of how a file is read.

    Attributes:
        delimiter: What divides the values of a CSV or TSV file; None to find out.
        columns: Names of the columns of such a file; None where its first line has them.
        sheet: The sheet of a workbook; None for the first.
        reader: Row reader of a package, by package and name; None for those of ftc.
        has_commas: Whether the numbers of such a file have decimal commas.
        images: Columns whose bytes are images; of Parquet and Arrow files, no others have bytes.
        may_have_header: Whether `columns` are those of other files, so that this one may have a header: its first line
            is then a row only where it looks like one.
    """

    delimiter: str | None = None
    sheet: str | None = None
    reader: str | None = None
    images: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    has_commas: bool = False
    may_have_header: bool = False

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Reading:
        """As a source's keys have it, in a recipe or in its lock."""
        delimiter = asked.get("delimiter")
        columns = asked.get("columns")
        return cls(
            "\t" if delimiter == "tab" else delimiter,
            asked.get("sheet"),
            asked.get("reader"),
            columns=None if columns is None else tuple(columns),
            has_commas=asked.get("decimal") == ",",
        )


USUAL_READING = Reading()
"""That of a recipe that says nothing of it."""


def absent_file(path: Path, shown_as: str, span: Span | None) -> Diagnostic:
    """The finding for a data file that isn't there, with the nearest name beside it.

    One without a place in a recipe was named on the command line.
    """
    if path.is_dir():
        help_ = "name a file in the folder"
        return diagnostic("FTC350", f"{shown_as} is a folder, not a data file", span, help=help_, path="data.source")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    start = "the recipe's folder" if span else "the working folder"
    written_folder, slash, name = shown_as.rpartition("/")
    if guess := nearest(name, siblings):
        help_ = f"did you mean `{written_folder}{slash}{guess}`?"
    elif siblings:
        help_ = f"paths are relative to {start}; check the name"
    else:
        help_ = f"paths are relative to {start}, and the file's folder is missing or empty"
    return diagnostic("FTC350", f"there is no data file {shown_as}", span, help=help_, path="data.source")
