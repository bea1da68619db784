"""Text on a terminal: the cells that it takes up, a stranger's text made safe, color and layout, without a library.

Color is never the only carrier of a meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "INDENT",
    "LABEL",
    "PLAIN",
    "TAB_CELLS",
    "WIDTH",
    "Page",
    "bar",
    "blocks",
    "escaped",
    "fitted",
    "fitting",
    "pad",
    "shorten",
    "shown",
    "stacked",
    "table",
    "visible_width",
    "width",
    "wrapped",
]

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


WIDTH = 100
"""Columns that no line exceeds, unless one word alone is longer."""
LABEL = 12
"""Columns of the labels at the left of progress lines."""
INDENT = 11
"""Columns of the labels at the left of a page."""

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Page:
    """How text is set: its width, and ANSI colors or none.

    Attributes:
        color: Whether to color.
        columns: Width that no line exceeds where it can be broken.
    """

    color: bool = False
    columns: int = WIDTH

    def strong(self, text: str) -> str:
        """What the eye should find first."""
        return self._paint("1", text)

    def faint(self, text: str) -> str:
        """What can be passed over."""
        return self._paint("2", text)

    def good(self, text: str) -> str:
        """What is as it should be."""
        return self._paint("32", text)

    def bad(self, text: str) -> str:
        """What stops something, or went wrong."""
        return self._paint("1;31", text)

    def alert(self, text: str) -> str:
        """What deserves a second look."""
        return self._paint("33", text)

    def accent(self, text: str) -> str:
        """What changes."""
        return self._paint("36", text)

    def _paint(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and text else text

    def flow(self, label: str, parts: Iterable[str], *, indent: int = INDENT, end: str = "") -> list[str]:
        """Lines of `parts` joined by middle dots under a label, broken between parts, or within one that is too long.

        `end` stands at the right edge of the last line, where there is room, or on a line of its own.
        """
        bare = _ESCAPE.sub("", label)
        is_glued = bare != "" and width(bare) >= indent and not bare.endswith(" ")
        lines = [f"{label} " if is_glued else pad(label, indent)]
        for index, part in enumerate(parts):
            joined = lines[-1] + (_SEPARATOR if index else "") + part
            if visible_width(joined) <= self.columns:
                lines[-1] = joined
            else:
                first, *others = self.wrap(" " * indent + part) or [""]
                lines[-1:] = [lines[-1], first] if index else [lines[-1] + first[indent:]]
                lines += others
        if not end:
            return [line.rstrip() for line in lines]
        room = self.columns - visible_width(lines[-1]) - visible_width(end)
        if room >= 2:
            return [*lines[:-1], lines[-1] + " " * room + end]
        return [*lines, " " * max(0, self.columns - visible_width(end)) + end]

    def listed(self, label: str, parts: Iterable[str]) -> list[str]:
        """Lines as `flow` makes them; none where there are no parts."""
        present = list(parts)
        return self.flow(label, present) if present else []

    def trend(self, word: str | None, text: str) -> str:
        """A text in the color of a verdict such as `better`; other words have none."""
        paints = {"better": self.good, "worse": self.bad, "not significant": self.alert}
        return paints[word](text) if word in paints else text

    def wrap(self, text: str) -> list[str]:
        """Lines of a sentence broken at blanks, with what follows aligned under the first word."""
        indent = " " * (len(text) - len(text.lstrip(" ")))
        lines: list[str] = []
        for word in text.split():
            if lines and visible_width(f"{lines[-1]} {word}") <= self.columns:
                lines[-1] += f" {word}"
            else:
                lines.append(indent + word)
        return lines


PLAIN = Page()
"""No colors, full width: the page of files and pipes."""


def visible_width(text: str) -> int:
    """Columns that a text takes on a terminal, colors not counted."""
    return width(_ESCAPE.sub("", text))


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with blanks; `right` aligns it to the right, as numbers are."""
    blanks = " " * max(0, columns - visible_width(text))
    return blanks + text if right else text + blanks


def blocks(parts: Iterable[Sequence[str]]) -> str:
    """A page of blocks of lines, with an empty line between them; blocks without lines are left out."""
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def shorten(text: str, columns: int) -> str:
    """The text on one line that can't steer the terminal, with an ellipsis where something was left out."""
    line = escaped(" ".join(text[: 8 * columns].split()))
    if width(line) <= columns and len(text) <= 8 * columns:
        return line
    while width(line) > columns - 1:
        line = line[:-1]
    return line.rstrip() + "…"


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: int = 0) -> list[str]:
    """Lines of a table without rules; columns in `right` are aligned to the right."""
    numbers = frozenset(right)
    count = max((len(row) for row in rows), default=0)
    widths = [max((visible_width(row[i]) for row in rows if i < len(row)), default=0) for i in range(count)]
    return [
        (" " * indent + "  ".join(pad(cell, widths[i], right=i in numbers) for i, cell in enumerate(row))).rstrip()
        for row in rows
    ]


def fitted(
    header: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    page: Page,
    *,
    right: Iterable[int] = (),
    indent: int = 0,
) -> list[str]:
    """Lines of a table with its header, if any; the same cells as `stacked` where the page is too narrow for it."""
    lines = table([*([header] if header else []), *rows], right=right, indent=indent)
    if any(visible_width(line) > page.columns for line in lines):
        return stacked(header or [""] * max(map(len, rows)), rows, page, indent=indent)
    return [page.faint(line) if header and line is lines[0] else line for line in lines]


def stacked(header: Sequence[str], rows: Sequence[Sequence[str]], page: Page, *, indent: int = 0) -> list[str]:
    """A table for a page that is too narrow for its columns: each row under its first cell, a line for each other one.

    Args:
        header: What the columns are called; a cell under an empty name stands behind the first cell.
        rows: The cells; empty ones are left out.
        page: Width and colors.
        indent: Columns before the first cells.
    """
    width = max((visible_width(name) for name in header[1:]), default=0)
    lines: list[str] = []
    for first, *others in rows:
        named = [(name, cell) for name, cell in zip(header[1:], others, strict=False) if cell]
        title = "  ".join([first, *(cell for name, cell in named if not name)])
        lines += page.wrap(" " * indent + title)
        for name, cell in named:
            if name:
                lines += page.flow(" " * (indent + 2) + page.faint(name), [cell], indent=indent + width + 4)
    return lines


def bar(done: int, total: int, cells: int, page: Page) -> str:
    """A line that fills up; the figures beside it carry the same."""
    full = cells * done // total if total > 0 else 0
    if full >= cells:
        return page.good("━" * cells)
    return page.accent("━" * full + "╺") + page.faint("━" * (cells - full - 1))
