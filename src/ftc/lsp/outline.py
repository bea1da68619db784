"""The outline of a text that is still being written: its keys and values with their places.

The strict reader refuses a text with an open bracket or half a key, and just such a text is what an editor asks about.
This one never refuses: it keeps what it understands and goes on. Its cost is linear in the text. It serves completion
and hovering alone; what a recipe means is decided by `ftc.spec.language.source`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Place", "Slot", "Word", "outline"]

Place = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n|\Z)")
_SPACES = re.compile(r"[ \t]*")
_LINE_REST = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_QUOTED = re.compile(r'"(?:[^"\\\r\n]|\\[^\r\n])*"?|' + r"'(?:[^'\r\n]|'')*'?")
_BLOCK_END = re.compile(r"[\r\n]|[ \t]#|:(?=\s|\Z)")
_FLOW_END = re.compile(r"[\r\n,\[\]{}]|[ \t]#|:(?=[\s,\[\]{}]|\Z)")
_DASH = re.compile(r"-(?=\s|\Z)")
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Word:
    """A scalar as it is written, and its offsets in the text."""

    text: str
    start: int
    end: int

    @property
    def plain(self) -> str:
        """The scalar without its quotes."""
        return self.text.strip("\"'")


@dataclass(frozen=True, slots=True)
class Slot:
    """A `key: value`, a lone word where a key could stand, or an item of a list.

    Attributes:
        path: Of the mapping or list that holds it.
        key: The key; None for an item.
        value: The scalar; None where there is none, or a mapping or list.
        has_colon: Whether a colon follows the key.
    """

    path: Place
    key: Word | None
    value: Word | None
    has_colon: bool = False

    @property
    def place(self) -> Place:
        """The path of the value; an item's is that of its list."""
        return (*self.path, self.key.plain) if self.key else self.path


def outline(text: str) -> tuple[Slot, ...]:
    """All slots of a text, in order."""
    reader = _Reader(text)
    while reader.position < len(text):
        reader.read_line()
    return tuple(reader.slots)


@dataclass(slots=True)
class _Frame:
    """A mapping or list in block style that is open. `depth` is twice its column, and one more for a list."""

    depth: int
    path: Place
    last: str | int | None = None


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line_start = 0
        self.slots: list[Slot] = []
        self.frames = [_Frame(0, ())]

    def read_line(self) -> None:
        """Reads from the start of a line to the start of one that isn't understood yet."""
        self.line_start = self.position
        if blank := _BLANK.match(self.text, self.position):
            self.position = max(blank.end(), self.position + 1)
            return
        self._skip(_SPACES)
        while _DASH.match(self.text, self.position):
            self._open(2 * self._column + 1)
            frame = self.frames[-1]
            frame.last = frame.last + 1 if isinstance(frame.last, int) else 0
            self.position += 1
            self._skip(_SPACES)
        if not _BLANK.match(self.text, self.position):
            self._read_entry()
        self._skip(_LINE_REST)

    @property
    def _column(self) -> int:
        return self.position - self.line_start

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self.text, self.position):
            self.position = match.end()

    def _open(self, depth: int) -> None:
        """Makes the frame at `depth` the innermost; a new one belongs to the last key or item of the one above."""
        while len(self.frames) > 1 and self.frames[-1].depth > depth:
            self.frames.pop()
        top = self.frames[-1]
        if top.depth < depth and len(self.frames) < _DEEPEST:
            self.frames.append(_Frame(depth, top.path if top.last is None else (*top.path, top.last)))

    def _read_entry(self) -> None:
        column = self._column
        if self.text[self.position] in "{[":
            self._open(2 * column)
            self._read_flow(self.frames[-1].path, 0)
            return
        word = self._scalar(_BLOCK_END)
        self._skip(_SPACES)
        has_colon = self.text.startswith(":", self.position)
        if not has_colon and self.frames[-1].depth % 2 and self.frames[-1].depth < 2 * column:
            self.slots.append(Slot(self.frames[-1].path, None, word))
            return
        self._open(2 * column)
        frame = self.frames[-1]
        frame.last = word.plain
        if has_colon:
            self.position += 1
            self._read_value(frame.path, word, column)
        else:
            self.slots.append(Slot(frame.path, word, None))

    def _read_value(self, path: Place, key: Word, column: int) -> None:
        self._skip(_SPACES)
        first = self.text[self.position : self.position + 1]
        is_nested = _BLANK.match(self.text, self.position) is not None or (first and first in "{[|>")
        word = None if is_nested else self._scalar(_BLOCK_END)
        self.slots.append(Slot(path, key, word, has_colon=True))
        if first and first in "{[":
            self._read_flow((*path, key.plain), column)
        elif first and first in "|>":
            self._skip_block_scalar(column)

    def _skip_block_scalar(self, column: int) -> None:
        self._skip(_LINE_REST)
        while self.position < len(self.text):
            match = _SPACES.match(self.text, self.position)
            indent = match.end() - match.start() if match else 0
            if indent <= column and not _BLANK.match(self.text, self.position):
                # The line after is read as such: this call ends where a line ends.
                self.position -= 1
                return
            self._skip(_LINE_REST)

    def _scalar(self, end: re.Pattern[str]) -> Word:
        start = self.position
        if quoted := _QUOTED.match(self.text, start):
            self.position = quoted.end()
        else:
            found = end.search(self.text, start)
            written = self.text[start : found.start() if found else len(self.text)].rstrip()
            self.position = start + max(len(written), 1)
        return Word(self.text[start : self.position], start, self.position)

    def _read_flow(self, path: Place, column: int) -> None:
        """Reads a mapping or list in brackets. One that is never closed ends before the next key outside of it."""
        open_ones: list[_Frame] = []
        while self.position < len(self.text):
            if not self._next_in_flow(column):
                return
            letter = self.text[self.position]
            top = open_ones[-1] if open_ones else None
            if letter in "{[":
                inside = path if top is None else top.path if top.last is None else (*top.path, top.last)
                open_ones.append(_Frame(letter == "[", inside, 0 if letter == "[" else None))
                self.position += 1
            elif letter in "}]":
                open_ones.pop()
                self.position += 1
            elif letter in ",:":
                if top and letter == ",":
                    top.last = top.last + 1 if isinstance(top.last, int) else None
                self.position += 1
            elif top:
                self._read_flow_entry(top)
            if not open_ones or len(open_ones) > _DEEPEST:
                return

    def _next_in_flow(self, column: int) -> bool:
        """Goes on to what is next in brackets; False where the text has left them."""
        while self.position < len(self.text):
            self._skip(_SPACES)
            blank = _BLANK.match(self.text, self.position)
            if blank is None:
                return True
            if blank.end() >= len(self.text):
                self.position = len(self.text)
                return False
            following = _SPACES.match(self.text, blank.end())
            start = following.end() if following else blank.end()
            outside = start - blank.end() <= column and self.text[start : start + 1] not in "}]\r\n#"
            if outside:
                return False
            self.position = self.line_start = blank.end()
        return False

    def _read_flow_entry(self, top: _Frame) -> None:
        word = self._scalar(_FLOW_END)
        if top.depth:
            self.slots.append(Slot(top.path, None, word))
            return
        self._skip(_SPACES)
        if not self.text.startswith(":", self.position):
            self.slots.append(Slot(top.path, word, None))
            return
        self.position += 1
        self._skip(_SPACES)
        top.last = word.plain
        next_one = self.text[self.position : self.position + 1]
        is_nested = not next_one or next_one in ",{}[]\r\n#"
        value = None if is_nested else self._scalar(_FLOW_END)
        self.slots.append(Slot(top.path, word, value, has_colon=True))
