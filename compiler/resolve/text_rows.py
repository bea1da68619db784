"""Reads plain text: a row a line, in the one column `text`, as other tools read such files."""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.resolve.json_rows import not_utf8
from ftc.compiler.resolve.table import LARGEST_ROW, Faults, Row, Table

__all__ = ["read_text_lines"]

_BOM = b"\xef\xbb\xbf"


def read_text_lines(path: Path, faults: Faults) -> Table:
    """Rows of a text file. Empty lines are passed over.

    Raises:
        OSError: The file can't be read.
    """
    rows: list[Row] = []
    lines: list[int] = []
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(LARGEST_ROW + 1), b""), 1):
            if len(raw) > LARGEST_ROW or faults.full:
                summary = f"a line of more than {LARGEST_ROW // 2**20} MiB"
                faults.add("FTC355", summary, number, help="break the text into lines", notes=["reading stopped here"])
                break
            line = raw.removeprefix(_BOM) if number == 1 else raw
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                before = line[: error.start].decode()
                not_utf8(faults, number, offset + len(raw) - len(line) + error.start, line[error.start], before)
            else:
                if text.strip():
                    rows.append({"text": text})
                    lines.append(number)
            offset += len(raw)
    return Table(faults.file, ("text",) if rows else (), rows, lines)
