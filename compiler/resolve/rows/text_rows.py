"""Reads text line by line; and plain text files: a row a line, in the one column `text`, as other tools read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Table, shown

__all__ = ["BOM", "not_utf8", "read_text_lines", "text_lines"]

BOM = b"\xef\xbb\xbf"
"""The mark that some editors put before UTF-8."""


def text_lines(path: Path, faults: Faults, help: str) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers from 1; what is no text is noted and passed over.

    Reading ends at a line that is too long, for which `help` is said, and where enough faults were found.

    Raises:
        OSError: The file can't be read.
    """
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(LARGEST_ROW + 1), b""), 1):
            if len(raw) > LARGEST_ROW:
                summary = f"a line of more than {LARGEST_ROW // 2**20} MiB"
                faults.add("FTC355", summary, number, help=help, notes=["reading stopped here"])
            if len(raw) > LARGEST_ROW or faults.full:
                return
            line = raw.removeprefix(BOM) if number == 1 else raw
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                before = line[: error.start].decode()
                not_utf8(faults, number, offset + len(raw) - len(line) + error.start, line[error.start], before)
            else:
                yield number, text
            offset += len(raw)


def not_utf8(faults: Faults, line: int, offset: int, byte: int, before: str) -> None:
    """Notes a byte that is no text. `before` is what stands before it in its line; `offset` is that in the file."""
    faults.add(
        "FTC354",
        f"byte 0x{byte:02x} at offset {offset:,} is not UTF-8",
        line,
        len(before) + 1,
        help="convert the file to UTF-8",
        notes=[f"text before it: {shown(before[-60:])}"] if before else [],
    )


def read_text_lines(path: Path, faults: Faults) -> Table:
    """Rows of a text file. Empty lines are passed over.

    Raises:
        OSError: The file can't be read.
    """
    found = [(number, text.rstrip("\r\n")) for number, text in text_lines(path, faults, "break the text into lines")]
    full = [(number, text) for number, text in found if text.strip()]
    return Table(faults.file, ("text",) if full else (), [{"text": text} for _, text in full], [at for at, _ in full])
