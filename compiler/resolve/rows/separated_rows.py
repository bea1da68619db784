"""Reads CSV and TSV files with a header: RFC 4180 quotes, any line ends, and the delimiter that the file has.

Spreadsheets of half the world write semicolons in a `.csv` file, since their numbers have commas. What divides the
values is the recipe's word, else a first line such as `sep=;`, else what gives the first rows as many values as the
header. Where the first line ends in CRLF, the same inside quotes is read as LF: any checkout has the same
rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Row, Table, shown
from ftc.compiler.resolve.rows.text_rows import CONVERT, whole_text

__all__ = ["DELIMITERS", "read_separated"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may divide values, with its name."""

_SAMPLE = 50
_HINT = re.compile(r'\A"?sep=([,;|\t])"?\r?\n')


def read_separated(path: Path, usual: str, delimiter: str | None, faults: Faults) -> Table:
    """Rows of a file.

    Args:
        path: The file.
        usual: The delimiter that its suffix stands for.
        delimiter: The one that the recipe names; None to find out.
        faults: Where faults go.

    Raises:
        OSError: The file can't be read.
    """
    if (text := whole_text(path, faults, f"{CONVERT}; spreadsheets offer it as `CSV UTF-8`")) is None:
        return Table(faults.file, (), [])
    if text.partition("\n")[0].endswith("\r"):
        text = text.replace("\r\n", "\n")  # git and editors change the line ends inside quotes along with the others
    hint = _HINT.match(text)
    skipped = 0 if hint is None else 1
    text = text[hint.end() :] if hint else text
    found = delimiter or (hint[1] if hint else _delimiter(text, usual))
    records = _records(text, found, faults, skipped)
    line, header = next(records, (1, []))
    if twice := sorted({name for name in header if header.count(name) > 1}):
        names = ", ".join(shown(name) for name in twice[:5])
        faults.add("FTC358", f"column names stand twice in the header: {names}", line, help="name each column once")
    if unnamed := [number for number, name in enumerate(header, 1) if not name.strip()]:
        faults.add("FTC358", f"column {unnamed[0]} of the header has no name", line, help="give the column a name")
    if faults.found:
        return Table(faults.file, (), [])
    remark = f"values divided by {DELIMITERS[found]}, which was found out" if found != usual and not delimiter else ""
    rows, lines = _rows(records, header, found, faults)
    return Table(faults.file, tuple(header), rows, lines, remark=remark)


def _rows(
    records: Iterator[tuple[int, list[str]]], header: Sequence[str], delimiter: str, faults: Faults
) -> tuple[list[Row], list[int]]:
    """Rows with the lines on which they begin; one with another number of values than the header is noted."""
    rows: list[Row] = []
    lines: list[int] = []
    for line, record in records:
        if faults.full:
            break
        if len(record) != len(header):
            name = DELIMITERS[delimiter].removesuffix("s")
            faults.add(
                "FTC357",
                f"a row with {len(record)} field{'' if len(record) == 1 else 's'}; the header has {len(header)}",
                line,
                help=f"put quotes round a value that holds a {name}, or add what is missing",
                notes=[f"found: {shown(delimiter.join(record))}"],
            )
            continue
        rows.append(dict(zip(header, record, strict=True)))
        lines.append(line)
    return rows, lines


def _delimiter(text: str, usual: str) -> str:
    """The usual delimiter if the first rows bear it out, else another one that they do.

    Where no delimiter fits, the one that parts the header, if the usual one does not: faults then have their lines.
    """
    others = [usual, *(one for one in DELIMITERS if one != usual)]
    widths = {one: _widths(text, one) for one in others}
    several = [one for one in others if widths[one][:1] > [1]]
    even = [one for one in several if len(set(widths[one])) == 1]
    return (even or several or [usual])[0] if usual not in several or even else usual


def _widths(text: str, delimiter: str) -> list[int]:
    """The number of values of the header and of the first rows."""
    records = _records(text, delimiter, Faults(""))
    return [len(record) for _, record in islice(records, _SAMPLE)]


def _records(text: str, delimiter: str, faults: Faults, skipped: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins; empty lines are passed over. Ends at the first broken record."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1 + skipped
    before = csv.field_size_limit(LARGEST_ROW)  # kept for the whole process, so it is put back
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        help_ = "close the quotes; a quote inside quotes is written twice"
        faults.add("FTC355", f"a broken record: {error}", line, help=help_, notes=["reading stopped here"])
    finally:
        csv.field_size_limit(before)
