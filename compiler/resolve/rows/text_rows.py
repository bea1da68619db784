"""Reads text line by line: plain text and CoNLL files."""

from __future__ import annotations

import codecs
import errno
import io
import itertools
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from ftc.compiler.resolve.rows.row_store import RowWriter, stored
from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Table, shown

__all__ = [
    "BOM",
    "CONVERT",
    "decoded_lines",
    "decoded_pieces",
    "read_conll",
    "read_text_lines",
    "text_lines",
    "whole_text",
]

BOM = b"\xef\xbb\xbf"
"""The mark that some editors and spreadsheets put before UTF-8."""
CONVERT = "convert the file to UTF-8"
_PIECE_BYTES = 1 << 16
_LARGEST_WHOLE = 512 * 2**20
"""Bytes of a file that can't be read piece by piece: one JSON object with all rows in it."""


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
                faults.add("FTC355", summary, number, help=help, stops=True)
                return
            line = raw.removeprefix(BOM) if number == 1 else raw
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                before = line[: error.start].decode()
                _not_utf8(faults, number, offset + len(raw) - len(line) + error.start, line[error.start], before)
            else:
                yield number, text
            offset += len(raw)


def decoded_lines(path: Path, faults: Faults, help: str = CONVERT, quotes: bool = True) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends, which are of any of the three kinds; never more than one is in memory.

    Ends at a byte that is no text and at a line of more than `LARGEST_ROW` characters, both of which are noted: the
    byte with what precedes it, if it `quotes`.

    Raises:
        OSError: The file can't be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number in itertools.count(1):
            try:
                line = file.readline(LARGEST_ROW + 1)
            except UnicodeDecodeError:
                _find_odd_byte(path, faults, help, quotes)
                return
            if len(line) > LARGEST_ROW:
                summary = f"a line of more than {LARGEST_ROW // 2**20} MiB"
                faults.add("FTC355", summary, number, help="break the text into rows", stops=True)
                return
            if not line:
                return
            yield line


def decoded_pieces(path: Path, faults: Faults) -> Iterator[str]:
    """A UTF-8 file piece by piece; ends at a byte that is no text, which is noted.

    Raises:
        OSError: The file can't be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            while piece := file.read(_PIECE_BYTES):
                yield piece
        except UnicodeDecodeError:
            _find_odd_byte(path, faults, CONVERT, True)


def whole_text(path: Path, faults: Faults, most: int = _LARGEST_WHOLE) -> str | None:
    """All of a UTF-8 file; None where a byte is no text or the file is larger than `most` bytes, which is noted.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        help_ = "write one JSON object a line, in a file with the suffix `.jsonl`"
        faults.add("FTC355", f"a single JSON object of more than {most // 2**20} MiB", 1, help=help_)
        return None
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError:
        _find_odd_byte(path, faults, CONVERT, True)
        return None


def _find_odd_byte(path: Path, faults: Faults, help: str, quotes: bool) -> None:
    """Notes the first byte of a file that is no text, looking at a piece of it at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    line, before, offset = 1, "", 0
    with path.open("rb") as file:
        while True:
            piece = file.read(_PIECE_BYTES)
            num_kept, found = len(decoder.getstate()[0]), None
            try:
                before += newlines.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                found = error
                before += error.object[: error.start].decode().replace("\r\n", "\n").replace("\r", "\n")
            line, before = line + before.count("\n"), before.rpartition("\n")[2]
            if found is not None:
                at = offset - num_kept + found.start
                text = before.removeprefix("\ufeff") if line == 1 else before
                _not_utf8(faults, line, at, found.object[found.start], text, help, quotes)
                return
            if not piece:  # the file was written again since
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            offset += len(piece)


def _not_utf8(
    faults: Faults, line: int, offset: int, byte: int, before: str, help: str = CONVERT, quotes: bool = True
) -> None:
    """Notes a byte that is no text. `before` is what stands before it in its line; `offset` is that in the file."""
    faults.add(
        "FTC354",
        f"byte 0x{byte:02x} at offset {offset:,} is not UTF-8",
        line,
        len(before) + 1,
        help=help,
        notes=[f"text before it: {shown(before[-60:])}"] if before and quotes else [],
    )


def read_text_lines(path: Path, faults: Faults) -> Table:
    """Rows of a text file. Empty lines are passed over.

    Raises:
        OSError: The file can't be read.
    """
    rows, lines = RowWriter(), array("q")
    for number, text in text_lines(path, faults, "split the text into lines"):
        if text.strip():
            rows.add({"text": text.rstrip("\r\n")})
            lines.append(number)
    return Table(faults.file, ("text",) if lines else (), rows.rows(), lines)


_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path, faults: Faults) -> Table:
    """Sentences as rows of lists: `tokens` from the first column, `tags` from the last, `column_2` and so on between.

    Columns stand apart by tabs where the file has any, else by spaces. Lines of nothing but space end a sentence, and
    so do `-DOCSTART-` lines. A line that begins with `# ` before a sentence is a comment.

    Raises:
        OSError: The file can't be read.
    """
    has_tabs = any("\t" in line for line in decoded_lines(path, Faults(faults.file)))
    sentences, lines = _sentences(decoded_lines(path, faults, quotes=False), "\t" if has_tabs else None, faults)
    width = len(sentences[0][0]) if sentences else 0
    rows = stored(
        {name: list(column) for name, column in zip(_names(width), zip(*sentence, strict=True), strict=True)}
        for sentence in sentences
    )
    return Table(faults.file, _names(width), rows, lines)


def _names(width: int) -> tuple[str, ...]:
    return ("tokens", *(f"column_{number}" for number in range(2, width)), "tags") if width else ()


def _sentences(text: Iterable[str], separator: str | None, faults: Faults) -> tuple[list[list[list[str]]], list[int]]:
    """The fields of each word of each sentence, and the line on which each sentence begins."""
    sentences: list[list[list[str]]] = []
    lines: list[int] = []
    width, is_open = 0, False
    for number, raw in enumerate(text, 1):
        line = raw.rstrip("\r\n")
        if not line.strip() or line.startswith(_DOCUMENT):
            is_open = False
            continue
        if line.startswith("# ") and not is_open:
            continue
        fields = [field.strip() for field in line.split(separator)]
        width = width or len(fields)
        if not _is_word(fields, width, number, line, faults):
            continue
        if not is_open:
            sentences.append([])
            lines.append(number)
            is_open = True
        sentences[-1].append(fields)
    return sentences, lines


def _is_word(fields: list[str], width: int, number: int, line: str, faults: Faults) -> bool:
    if len(line) > LARGEST_ROW or len(fields) < 2:
        summary, help_ = "a word without a tag", "write a word, a tab and its tag"
    elif len(fields) != width:
        summary = f"a line of {len(fields)} columns; the first word has {width}"
        help_ = "give every word the same columns"
    elif not all(fields):
        summary, help_ = f"column {fields.index('') + 1} is empty", "fill it in, or write `_` if it is unknown"
    else:
        return True
    faults.add("FTC357", summary, number, help=help_, notes=[f"found: {shown(line)}"])
    return False
