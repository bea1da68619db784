"""How text occupies the cells of a terminal, and how text that a stranger wrote is shown safely."""

from __future__ import annotations

import unicodedata

__all__ = ["TAB_CELLS", "escaped", "fitting", "shown", "width", "wrapped"]

TAB_CELLS = 4
"""Cells of a tab in a snippet. It stands for a fixed number of blanks, wherever it is."""

_ESCAPED_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))


def shown(character: str) -> str:
    """A character as a snippet prints it: what can't be seen, or moves the cursor, as an escape."""
    if character == "\t":
        return " " * TAB_CELLS
    if character.isprintable():  # fast path: every other category but Zs is unprintable
        return character
    if unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def escaped(text: str) -> str:
    """Text as one line that can't change what a terminal shows elsewhere."""
    return text if text.isprintable() else "".join(map(shown, text))


def width(text: str) -> int:
    """Cells that printable text takes: two for wide characters, none for marks that join the one before."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def fitting(text: str, columns: int) -> int:
    """How many of the first characters fit into so many cells."""
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > columns:
            return index
    return len(text)


def wrapped(text: str, columns: int) -> list[str]:
    """Rows of at most so many cells, at least two, broken at blanks where there are any; blanks inside a row stay."""
    rows = []
    while (fits := max(1, fitting(text, columns))) < len(text):
        blank = text.rfind(" ", 1, fits + 1)
        end = blank if blank > 0 and text[:blank].strip() else fits
        rows.append(text[:end].rstrip())
        text = text[end:].lstrip(" ")
    return [*rows, text.rstrip()]


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
