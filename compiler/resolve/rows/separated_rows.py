"""Reads CSV and TSV files: RFC 4180 quotes, any line ends, and the delimiter that the file has.

The first line names the columns, unless the recipe does. Where the recipe of a finished run does, other files than its
own may have a header; the rows below the first line then show what it is.
Spreadsheets of half the world write semicolons in a `.csv` file, since their numbers have commas. What divides the
values is the recipe's word, else a first line such as `sep=;`, else what gives the first rows as many values as the
header. Where the first line ends in CRLF, the same inside quotes is read as LF: any checkout has the same
rows.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from ftc.compiler.resolve.rows.headers import FirstLine, header_of, naming_help, read_as
from ftc.compiler.resolve.rows.ratings import with_point
from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.row_store import RowWriter, StoredRows
from ftc.compiler.resolve.rows.table import LARGEST_ROW, Dialect, Faults, Table, shown
from ftc.compiler.resolve.rows.text_rows import BOM, CONVERT, decoded_lines
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.text_checks import MOST_FINDINGS

__all__ = ["DELIMITERS", "read_separated"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may divide values, with its name."""

_SAMPLE = 50
_SAMPLE_LINES = 500
_HINT = re.compile(r'\A"?sep=([,;|\t])"?\r?\n')


def read_separated(path: Path, usual: str, reading: Reading, faults: Faults) -> Table:
    """Rows of a file.

    Args:
        path: The file.
        usual: The delimiter that its suffix stands for.
        reading: The delimiter and the names of columns that the recipe gives, if it does.
        faults: Where faults go.

    Raises:
        OSError: The file can't be read.
    """
    found, records = _opened(path, usual, reading, faults)
    line, cells = next(records, (1, []))
    header = header_of(cells, reading)
    first_line: FirstLine | None = None
    if header.is_row is None:  # the rows below it show that
        first_line = _compared(path, usual, reading, faults.file)
        header = replace(header, is_row=first_line is None or first_line.looks is not None)
    columns = header.names if header.is_row is False else reading.columns or ()
    if header.is_row is not False:
        records = chain([(line, cells)], records)
    _check_names(columns, line, faults, may_be_row=reading.columns is None)
    if faults.found:
        return Table(faults.file, (), ())
    remark = f"values separated by {DELIMITERS[found]} (detected)" if found != usual and not reading.delimiter else ""
    if reading.has_commas:
        cells = [with_point(cell) for cell in cells]
        records = ((line, [with_point(cell) for cell in record]) for line, record in records)
    own_header = FirstLine(cells) if reading.columns is None else None
    named_by = "the header" if reading.columns is None else "the recipe"
    rows, lines, odd = _rows(records, columns, found, faults, own_header, named_by)
    if own_header is not None and (finding := own_header.finding(faults.file, line)):
        odd = (finding, *odd)
    elif first_line is not None and header.is_row is False:
        why = "it does not look like a row: no cell occurs again below it, and none is a number as all below it are"
        odd = (read_as(faults.file, line, "header", why), *odd)
    elif reading.may_have_header and header.is_row:
        looks = first_line.looks if first_line is not None else None
        why = looks.why if looks else "cells that are empty or equal name no columns"
        odd = (read_as(faults.file, line, "row", why), *odd)
    with path.open("rb") as file:
        dialect = Dialect(found, file.read(len(BOM)) == BOM)
    looks = own_header.looks if own_header is not None else None
    lacks_header = looks is not None and looks.is_sure
    return Table(
        faults.file, columns, rows, lines, warnings=odd, remark=remark, dialect=dialect, lacks_header=lacks_header
    )


def _opened(path: Path, usual: str, reading: Reading, faults: Faults) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """What divides the values of a file, and its records with the line on which each begins."""
    text = _with_even_ends(decoded_lines(path, faults, f"{CONVERT}; spreadsheets offer it as `CSV UTF-8`"))
    first = list(islice(text, _SAMPLE_LINES))
    hint = _HINT.match(first[0]) if first else None
    skipped = 0 if hint is None else 1
    found = reading.delimiter or (hint[1] if hint else _delimiter(first, usual))
    return found, _records(chain(first[skipped:], text), found, faults, skipped)


def _compared(path: Path, usual: str, reading: Reading, file: str) -> FirstLine | None:
    """The first line beside the first rows below it; None where one of these is broken, which stops the reading."""
    faults = Faults(file)
    _, records = _opened(path, usual, reading, faults)
    number = with_point if reading.has_commas else str
    _, cells = next(records)
    first_line = FirstLine([number(cell) for cell in cells])
    for _, record in records:
        if first_line.is_settled or len(record) != len(cells):
            break
        first_line.compare([number(cell) for cell in record])
    return None if faults.found else first_line


def _check_names(columns: Sequence[str], line: int, faults: Faults, *, may_be_row: bool) -> None:
    """Notes names that occur twice or are empty; the line may be a row where the recipe names no columns."""
    or_row = [f"or {naming_help(len(columns))}"] if may_be_row else []
    if twice := sorted({name for name, count in Counter(columns).items() if count > 1 and name.strip()}):
        names = ", ".join(shown(name) for name in twice[:5])
        help = "give each column a unique name"
        faults.add("FTC358", f"duplicate column names in the header: {names}", line, help=[help, *or_row])
    if unnamed := [number for number, name in enumerate(columns, 1) if not name.strip()]:
        index = "; pandas writes row numbers so, unless `to_csv` has `index=False`" if unnamed == [1] else ""
        is_one, number = len(unnamed) == 1, unnamed[0]
        of = (
            f"column {number} of the header has no name"
            if is_one
            else f"{len(unnamed)} columns of the header have no name"
        )
        of += "" if is_one else f", the first of them is column {number}"
        help = f"give the column a name, or remove it{index}" if is_one else "give each a name, or remove them"
        faults.add("FTC358", of, line, help=[help, *or_row])


def _with_even_ends(lines: Iterator[str]) -> Iterator[str]:
    """The lines of a file whose first one ends in CR LF with LF in its place.

    git and editors change the line ends inside quotes along with the others, so they are no part of a value.
    """
    first = next(lines, "")
    changes = first.endswith("\r\n")
    for line in chain([first], lines):
        yield f"{line[:-2]}\n" if changes and line.endswith("\r\n") else line


def _rows(
    records: Iterator[tuple[int, list[str]]],
    header: Sequence[str],
    delimiter: str,
    faults: Faults,
    first_line: FirstLine | None,
    named_by: str,
) -> tuple[StoredRows, array[int], tuple[Diagnostic, ...]]:
    """Rows with the lines on which they begin, and warnings; one with too few or too many values is noted.

    Columns are named by the header or by the recipe.
    """
    rows, lines = RowWriter(), array("q")
    odd: list[Diagnostic] = []
    for line, record in records:
        if len(record) != len(header):
            name = DELIMITERS[delimiter].removesuffix("s")
            faults.add(
                "FTC357",
                f"a row with {len(record)} field{'' if len(record) == 1 else 's'}; {named_by} has {len(header)}",
                line,
                help=f"put quotes around a value that contains a {name}, or add what is missing",
                notes=[f"found: {shown(delimiter.join(record))}"],
            )
            continue
        if first_line is not None:
            first_line.compare(record)
        rows.add(dict(zip(header, record, strict=True)))
        lines.append(line)
        if len(odd) < MOST_FINDINGS and (found := _swallowed(record, delimiter, line, faults.file)):
            odd.append(found)
    return rows.rows(), lines, tuple(odd)


_ENDINGS = ("FTC354", "FTC355")
"""What is noted where the text of a file ends early."""
_FEWEST_SWALLOWED = 2


def _swallowed(record: list[str], delimiter: str, line: int, file: str) -> Diagnostic | None:
    """A warning where lines inside of one cell are rows by themselves: stray quotes before and after made them text."""
    cell = next((cell for cell in record if cell.count("\n") > _FEWEST_SWALLOWED), None)
    if cell is None or len(record) < 2:
        return None
    first, *inner, _ = cell.replace("\r\n", "\n").split("\n")
    try:
        is_row = [len(fields) == len(record) for fields in csv.reader(inner, delimiter=delimiter, strict=True)]
    except csv.Error:
        return None
    if len(is_row) != len(inner) or not all(is_row):
        return None
    begin = line + sum(other.count("\n") for other in record[: record.index(cell)])
    return diagnostic(
        "FTC361",
        f"{file}: a quote in line {begin} makes one cell of the rows in lines {begin + 1} to {begin + len(inner)}",
        Span(file, begin, 1, begin, 2),
        label="a quote opens here",
        help="take out the stray quotes, or write a quote that belongs to the text twice",
        notes=f"{len(inner):,} lines of the cell are rows by themselves; it begins with {shown(first)}",
        path="data.source",
    )


def _delimiter(text: Sequence[str], usual: str) -> str:
    """The usual delimiter if the first rows fit it, else another one that they fit.

    Where no delimiter fits, the one that parts the header, if the usual one does not: faults then have their lines.
    """
    others = [usual, *(one for one in DELIMITERS if one != usual)]
    widths = {one: _widths(text, one) for one in others}
    several = [one for one in others if widths[one][:1] > [1]]
    even = [one for one in several if len(set(widths[one])) == 1]
    return (even or several or [usual])[0] if usual not in several or even else usual


def _widths(text: Sequence[str], delimiter: str) -> list[int]:
    """The number of values of the header and of the first rows."""
    records = _records(text, delimiter, Faults(""))
    return [len(record) for _, record in islice(records, _SAMPLE)]


class _Lines:
    """Lines on their way to the reader of records, with the size of the record that is being read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.size += len(line)
            if self.size > LARGEST_ROW:
                raise csv.Error(f"it is longer than {LARGEST_ROW // 2**20} MiB")
            yield line


_OPEN_QUOTE = "unexpected end of data"
"""What the reader says at the end of a file inside of quotes."""


def _records(text: Iterable[str], delimiter: str, faults: Faults, skipped: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins; empty lines are passed over. Ends at the first broken record."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1 + skipped
    before = csv.field_size_limit(LARGEST_ROW)  # kept for the whole process, so it is put back
    try:
        for record in reader:
            if record:
                yield line, record
            line, lines.size = reader.line_num + 1 + skipped, 0
    except csv.Error as error:
        if faults.last in _ENDINGS:
            return
        help_ = "close the quotes; write a quote inside quotes twice"
        reason, last = f"a broken record: {error}", reader.line_num + skipped
        if str(error) == _OPEN_QUOTE:
            taken = f"; its cell takes all lines up to {last}" if last > line else ""
            reason = f"a quote that opens in this row is never closed{taken}"
        faults.add("FTC355", reason, line, help=help_, stops=True)
    finally:
        csv.field_size_limit(before)
