"""Colour and layout of text pages: small helpers, no library, and colour never the only carrier of a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ftc.views.cells import escaped, width

__all__ = ["INDENT", "PLAIN", "WIDTH", "Page", "pad", "shorten", "table", "visible_width"]

WIDTH = 100
"""Columns that no line exceeds, unless one word alone is longer."""
INDENT = 11
"""Columns of the labels at the left of a page."""

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Page:
    """How text is set: its width, and ANSI colours or none.

    Attributes:
        color: Whether to colour.
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
        lines = [pad(label, indent)]
        for index, part in enumerate(parts):
            joined = lines[-1] + (_SEPARATOR if index else "") + part
            if visible_width(joined) <= self.columns:
                lines[-1] = joined
            else:
                first, *others = self.wrap(" " * indent + part) or [""]
                lines[-1:] = [lines[-1], first] if index else [lines[-1] + first[indent:]]
                lines += others
        return self._with_end(lines, end) if end else [line.rstrip() for line in lines]

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

    def _with_end(self, lines: list[str], end: str) -> list[str]:
        room = self.columns - visible_width(lines[-1]) - visible_width(end)
        if room >= 2:
            return [*lines[:-1], lines[-1] + " " * room + end]
        return [*lines, " " * max(0, self.columns - visible_width(end)) + end]


PLAIN = Page()
"""No colours, full width: the page of files and pipes."""


def visible_width(text: str) -> int:
    """Columns that a text takes on a terminal, colours not counted."""
    return width(_ESCAPE.sub("", text))


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with blanks; `right` aligns it to the right, as numbers are."""
    blanks = " " * max(0, columns - visible_width(text))
    return blanks + text if right else text + blanks


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
