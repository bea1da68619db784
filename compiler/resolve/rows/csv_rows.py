"""Reads comma- and tab-separated files. Every value is text; the first line names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Row, Table, shown

__all__ = ["read_separated"]

_BOM = b"\xef\xbb\xbf"


def read_separated(path: Path, separator: str, faults: Faults) -> Table:
    """Rows of a file with a header, RFC 4180 quotes, and lines that end in any of the three ways.

    Raises:
        OSError: The file can't be read.
    """
    data = path.read_bytes()
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        _not_utf8(data, error.start + len(data) - len(data.removeprefix(_BOM)), faults)
        return Table(faults.file, (), [])
    records = _records(text, separator, faults)
    _, header = next(records, (1, []))
    if not _is_sound(header, faults):
        return Table(faults.file, (), [])
    rows: list[Row] = []
    lines: list[int] = []
    for line, record in records:
        if faults.full:
            break
        if len(record) == len(header):
            rows.append(dict(zip(header, record, strict=True)))
            lines.append(line)
        else:
            _wrong_length(record, header, line, separator, faults)
    return Table(faults.file, tuple(header), rows, lines)


def _records(text: str, separator: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins; empty lines are passed over. Ends at the first broken record."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    with _largest_field():
        try:
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1
        except csv.Error as error:
            help_ = "close the quotes; a quote inside quotes is written twice"
            faults.add("FTC355", f"a broken record: {error}", line, help=help_, notes=["reading stopped here"])


@contextmanager
def _largest_field() -> Iterator[None]:
    """The csv module keeps this limit for the whole process, so it is put back."""
    before = csv.field_size_limit(LARGEST_ROW)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _is_sound(header: list[str], faults: Faults) -> bool:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        names = ", ".join(shown(name) for name in twice[:5])
        faults.add("FTC358", f"column names stand twice in the header: {names}", 1, help="name each column once")
    if any(not name.strip() for name in header):
        number = next(number for number, name in enumerate(header, 1) if not name.strip())
        faults.add("FTC358", f"column {number} of the header has no name", 1, help="give the column a name")
    return not faults.found


def _wrong_length(record: list[str], header: list[str], line: int, separator: str, faults: Faults) -> None:
    name = "tab" if separator == "\t" else "comma"
    faults.add(
        "FTC357",
        f"a row with {len(record)} field{'' if len(record) == 1 else 's'}; the header has {len(header)}",
        line,
        help=f"put quotes round a value that holds a {name}, or add what is missing",
        notes=[f"found: {shown(separator.join(record))}"],
    )


def _not_utf8(data: bytes, start: int, faults: Faults) -> None:
    before = data[:start].removeprefix(_BOM).decode()
    same_line = before.rpartition("\n")[2]
    faults.add(
        "FTC354",
        f"byte 0x{data[start]:02x} at offset {start:,} is not UTF-8",
        before.count("\n") + 1,
        len(same_line) + 1,
        help="convert the file to UTF-8; spreadsheets offer it as `CSV UTF-8`",
        notes=[f"text before it: {shown(same_line[-60:])}"] if same_line else [],
    )
