"""Reads CoNLL files: one word a line with its columns, an empty line between sentences."""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Row, Table, shown

__all__ = ["CONLL_SUFFIXES", "read_conll"]

CONLL_SUFFIXES = (".conll", ".iob", ".iob2", ".bio")
_BOM = b"\xef\xbb\xbf"
_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path, faults: Faults) -> Table:
    """Sentences as rows of lists: `tokens` from the first column, `tags` from the last, `column_2` and so on between.

    Columns stand apart by tabs where the file has any, else by spaces. Lines of nothing but space end a sentence, and
    so do `-DOCSTART-` lines. A line that begins with `# ` before a sentence is a comment.

    Raises:
        OSError: The file can't be read.
    """
    data = path.read_bytes()
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        _not_utf8(data, error.start + len(data) - len(data.removeprefix(_BOM)), faults)
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
        if not _is_sound(fields, width, number, line, faults):
            continue
        if not is_open:
            sentences.append([])
            lines.append(number)
            is_open = True
        sentences[-1].append(fields)
    return sentences, lines


def _is_sound(fields: list[str], width: int, number: int, line: str, faults: Faults) -> bool:
    if len(line) > LARGEST_ROW or len(fields) < 2:
        faults.add("FTC357", "a word without a tag", number, help="write a word, a tab and its tag", notes=_found(line))
    elif len(fields) != width:
        summary = f"a line of {len(fields)} columns; the first word has {width}"
        faults.add("FTC357", summary, number, help="give each word the same columns", notes=_found(line))
    elif not all(fields):
        column = fields.index("") + 1
        faults.add(
            "FTC357",
            f"column {column} is empty",
            number,
            help="fill it in, or `_` if it is unknown",
            notes=_found(line),
        )
    else:
        return True
    return False


def _found(line: str) -> list[str]:
    return [f"found: {shown(line)}"]


def _not_utf8(data: bytes, start: int, faults: Faults) -> None:
    before = data[:start].removeprefix(_BOM).decode()
    faults.add(
        "FTC354",
        f"byte 0x{data[start]:02x} at offset {start:,} is not UTF-8",
        before.count("\n") + 1,
        len(before.rpartition("\n")[2]) + 1,
        help="convert the file to UTF-8",
    )
