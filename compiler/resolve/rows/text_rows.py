"""Reads text line by line: plain text and CoNLL files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Row, Table, shown

__all__ = ["CONLL_SUFFIXES", "CONVERT", "read_conll", "read_text_lines", "text_lines", "whole_text"]

_BOM = b"\xef\xbb\xbf"  # the mark that some editors put before UTF-8
CONVERT = "convert the file to UTF-8"


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
            line = raw.removeprefix(_BOM) if number == 1 else raw
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                before = line[: error.start].decode()
                _not_utf8(faults, number, offset + len(raw) - len(line) + error.start, line[error.start], before)
            else:
                yield number, text
            offset += len(raw)


def whole_text(path: Path, faults: Faults, help: str = CONVERT, quotes: bool = True) -> str | None:
    """All of a UTF-8 file; None where a byte is no text, which is noted: with what precedes it, if it `quotes`.

    Raises:
        OSError: The file can't be read.
    """
    data = path.read_bytes()
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        start = error.start + len(data) - len(data.removeprefix(_BOM))
        before = data[:start].removeprefix(_BOM).decode()
        line = before.count("\n") + 1
        _not_utf8(faults, line, start, data[start], before.rpartition("\n")[2], help, quotes)
        return None


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
    found = [(number, text.rstrip("\r\n")) for number, text in text_lines(path, faults, "break the text into lines")]
    full = [(number, text) for number, text in found if text.strip()]
    return Table(faults.file, ("text",) if full else (), [{"text": text} for _, text in full], [at for at, _ in full])


CONLL_SUFFIXES = (".conll", ".iob", ".iob2", ".bio")
_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path, faults: Faults) -> Table:
    """Sentences as rows of lists: `tokens` from the first column, `tags` from the last, `column_2` and so on between.

    Columns stand apart by tabs where the file has any, else by spaces. Lines of nothing but space end a sentence, and
    so do `-DOCSTART-` lines. A line that begins with `# ` before a sentence is a comment.

    Raises:
        OSError: The file can't be read.
    """
    if (text := whole_text(path, faults, quotes=False)) is None:
        return Table(faults.file, (), [])
    separator = "\t" if "\t" in text else None
    sentences, lines = _sentences(text, separator, faults)
    width = len(sentences[0][0]) if sentences else 0
    rows: list[Row] = []
    for sentence in sentences:
        columns = list(zip(*sentence, strict=True))
        rows.append({name: list(column) for name, column in zip(_names(width), columns, strict=True)})
    return Table(faults.file, _names(width), rows, lines)


def _names(width: int) -> tuple[str, ...]:
    return ("tokens", *(f"column_{number}" for number in range(2, width)), "tags") if width else ()


def _sentences(text: str, separator: str | None, faults: Faults) -> tuple[list[list[list[str]]], list[int]]:
    """The fields of each word of each sentence, and the line on which each sentence begins."""
    sentences: list[list[list[str]]] = []
    lines: list[int] = []
    width, is_open = 0, False
    for number, line in enumerate(text.split("\n"), 1):
        if faults.full:
            break
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
        help_ = "give each word the same columns"
    elif not all(fields):
        summary, help_ = f"column {fields.index('') + 1} is empty", "fill it in, or `_` if it is unknown"
    else:
        return True
    faults.add("FTC357", summary, number, help=help_, notes=[f"found: {shown(line)}"])
    return False
