"""The lines of a file around a finding, with carets under what it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ftc.spec.diagnostics import Span
from ftc.views.cells import escaped, fitting, shown, width, wrapped

__all__ = ["Layout", "Mark", "Paint", "gutter_width", "snippet"]

Paint = Callable[[str, str], str]
"""Text and the name of a style to text; without colour, the text itself."""

_NARROWEST_LABEL = 24
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to underline: with carets in `style` where it is the finding's own, else with dashes."""

    span: Span
    label: str
    is_primary: bool
    style: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows are set: digits of the line numbers, cells that a row may take, and what applies a style."""

    gutter: int
    columns: int
    paint: Paint

    @property
    def room(self) -> int:
        """Cells to the right of the gutter."""
        return max(_NARROWEST_LABEL, self.columns - self.gutter - 3)

    @property
    def bar(self) -> str:
        """The gutter of a row without a number."""
        return self.paint(f"{'':{self.gutter}} |", "gutter")


def gutter_width(marks: Sequence[Mark]) -> int:
    """Digits of the largest line number that the marks need."""
    return max(len(str(mark.span.line)) for mark in marks)


def snippet(marks: Sequence[Mark], lines: Sequence[str], layout: Layout) -> Iterator[str]:
    """Rows for marks in one file. Lines between two shown ones that are not neighbours become `...`.

    Args:
        marks: At least one, all in the file.
        lines: The file's lines; a mark beyond the last of them is shown against an empty line.
        layout: How rows are set.
    """
    numbers = sorted({mark.span.line for mark in marks})
    if _is_parent(lines, numbers[0]):
        numbers.insert(0, numbers[0] - 1)
    previous = numbers[0] - 1
    for number in numbers:
        if number == previous + 2:
            yield from _line(previous + 1, lines, [], layout)
        elif number > previous + 2:
            yield "..."
        own = sorted((mark for mark in marks if mark.span.line == number), key=lambda mark: mark.span.column)
        yield from _line(number, lines, own, layout)
        previous = number


def _is_parent(lines: Sequence[str], number: int) -> bool:
    """Whether the line above opens the block that this line stands in."""
    if not 2 <= number <= len(lines):
        return False
    above, line = lines[number - 2], lines[number - 1]
    return bool(above.strip()) and not above.lstrip().startswith("#") and _indent(above) < _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _line(number: int, lines: Sequence[str], marks: Sequence[Mark], layout: Layout) -> Iterator[str]:
    text = lines[number - 1] if 1 <= number <= len(lines) else ""
    window = _Window(text, layout.room, min((mark.span.column for mark in marks), default=1))
    yield f"{layout.paint(f'{number:>{layout.gutter}} |', 'gutter')} {window.text}".rstrip()
    for mark in marks:
        yield from (f"{layout.bar} {row}" for row in _under(mark, text, window, layout.paint))


class _Window:
    """The part of a line that fits into `room` cells and holds `column`, as it is shown."""

    def __init__(self, line: str, room: int, column: int) -> None:
        self.room = room
        self.first = 0  # characters cut off at the left
        cells = [shown(character) for character in line[: column + 4 * room]]
        if width("".join(cells)) > room:
            self.first = max(0, min(column - 1, len(line)) - room // 3)
        self._cells = cells[self.first :]
        body = "".join(self._cells)
        self.lead = _ELLIPSIS if self.first else ""
        self.text = _cut(self.lead + body, room)

    def cell(self, column: int) -> int:
        """Cells to the left of the character in `column`, counted from 1; at most the room."""
        before = "".join(self._cells[: max(0, column - 1 - self.first)])
        return min(width(self.lead) + width(before), self.room - 1)


def _under(mark: Mark, line: str, window: _Window, paint: Paint) -> Iterator[str]:
    """The row of carets, with the label beside them or, where there is no room, below."""
    span, room = mark.span, window.room
    last = span.end_column if span.end_line == span.line else len(line.rstrip()) + 1
    start = window.cell(span.column)
    carets = ("^" if mark.is_primary else "-") * max(1, window.cell(last) - start)
    label = escaped(mark.label)
    if start + len(carets) + 1 + width(label) <= room:
        yield " " * start + paint(f"{carets} {label}".rstrip(), mark.style)
        return
    yield " " * start + paint(carets, mark.style)
    start = max(0, min(start, room - max(_NARROWEST_LABEL, width(label))))
    for row in wrapped(label, room - start):
        yield " " * start + paint(row, mark.style)


def _cut(text: str, room: int) -> str:
    return text if width(text) <= room else text[: fitting(text, room - 1)] + _ELLIPSIS
