"""Places in a text, as ftc counts them and as the client does.

Lines are from 0 there and from 1 here. ftc counts characters; most clients count UTF-16 units, in which a character
outside the basic plane is two. Lines end as the protocol and YAML 1.2 have it: at carriage returns and line feeds.
"""

from __future__ import annotations

from collections.abc import Callable

from lsprotocol.types import Position, PositionEncodingKind, Range

from ftc.spec.diagnostics import Span
from ftc.spec.language.text_checks import Text

__all__ = ["Positions"]

_BYTE_ORDER_MARK = "\ufeff"


_LENGTHS: dict[PositionEncodingKind, Callable[[str], int]] = {
    PositionEncodingKind.Utf8: lambda text: len(text.encode("utf-8", "surrogatepass")),
    PositionEncodingKind.Utf16: lambda text: len(text) + sum(letter > "\uffff" for letter in text),
    PositionEncodingKind.Utf32: len,
}


class Positions:
    """A text with its lines, for going from ftc's places to the client's and back."""

    def __init__(self, text: str, encoding: PositionEncodingKind = PositionEncodingKind.Utf16) -> None:
        self._text = Text(text, "")
        self._length = _LENGTHS[encoding]
        self._mark = text.startswith(_BYTE_ORDER_MARK)

    def range_of(self, span: Span) -> Range:
        """The client's range of a place in this text."""
        start, end = (span.line, span.column), (span.end_line, span.end_column)
        return Range(start=self._position(*start), end=self._position(*end))

    def range_between(self, start: int, end: int) -> Range:
        """The client's range between two offsets."""
        return Range(start=self._at(*self._text.position(start)), end=self._at(*self._text.position(end)))

    def offset_of(self, position: Position) -> int:
        """The offset of a client's position; one behind the end of its line is the end of the line."""
        lines = self._text.lines
        if position.line >= len(lines):
            return len(self._text.content)
        line, units, column = lines[position.line], 0, 0
        while column < len(line) and units < position.character:
            units += self._length(line[column])
            column += 1
        return self._text.offset(position.line + 1, column + 1)

    def _position(self, line: int, column: int) -> Position:
        """The place of a span: ftc does not count a byte order mark, the client does."""
        return self._at(line, column + (self._mark and line == 1))

    def _at(self, line: int, column: int) -> Position:
        lines = self._text.lines
        written = lines[line - 1] if line <= len(lines) else ""
        return Position(line=line - 1, character=self._length(written[: column - 1]))
