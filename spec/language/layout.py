"""The layout of a recipe's text: sections in the order of the language, two spaces a level, comments where they were.

Lines move and change their indentation; nothing inside a line is touched but the space behind a list's dash. So a text
keeps its quotes, its notation of numbers and its flow style, and laying it out twice is laying it out once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.language.source import Mapping, Node, Scalar, Source, read_source_bytes
from ftc.spec.language.source import Sequence as List
from ftc.spec.sections.recipe import Recipe

__all__ = ["laid_out"]

_STEP = 2
"""Spaces a level."""
_BLOCK = re.compile(r"[|>][+-]?[ \t]*(?:#.*)?$")
"""The head of a text of several lines whose indentation nothing but its first line tells."""
_EDITOR_LINE = "# yaml-language-server:"
"""Stays first: editors look for it there."""


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a key or the dash of a list item stands: line from 0, columns from 0 before and after.

    Attributes:
        line: Its line.
        old: Its column in the text as it is.
        new: Its column in the layout.
        outer: The place of what holds it.
    """

    line: int
    old: int
    new: int
    outer: _Start | None

    @property
    def columns(self) -> Iterator[tuple[int, int]]:
        """Old and new column of this level and of all around it, innermost first."""
        level: _Start | None = self
        while level:
            yield level.old, level.new
            level = level.outer


def laid_out(data: bytes, file: str) -> bytes:
    """A recipe's text, or that of a part of a recipe, in its usual layout.

    Raises:
        Refusal: The text can't be read, or would say something else afterwards (FTC026).
    """
    source, found = read_source_bytes(data, file)
    if source is None:
        raise Refusal(found)
    if _character(source, source.root) == "{":  # all in one bracket: there are no lines to order
        return data
    lines = _Layout(source).lines()
    end = "\r\n" if b"\r\n" in data else "\n"
    text = "".join(f"{line}{end}" for line in lines).encode()
    again, _ = read_source_bytes(text, file)
    if again is None or _said(again) != _said(source) or _words(again.lines) != _words(source.lines):
        raise _unlike(source.root.span)
    return text


def _unlike(span: Span) -> Refusal:
    help = "format it by hand: one key per line, two spaces per level"
    return Refusal([diagnostic("FTC026", "formatting would change what the file says", span, help=help)])


def _said(source: Source) -> dict[str, Any]:
    """What a text says, down to the quotes, in whatever order its sections stand."""
    return {key: _shape(entry.node) for key, entry in source.root.entries.items()}


def _shape(node: Node) -> object:
    match node:
        case Scalar():
            return node.text, node.quoted
        case List():
            return tuple(_shape(item) for item in node.items)
        case Mapping():
            return [(key, _shape(entry.node)) for key, entry in node.entries.items()]


def _words(lines: Sequence[str]) -> list[str]:
    """The lines without their indentation and order: none may get lost, comments least of all."""
    return sorted(words for line in lines if (words := " ".join(line.split())))


def _character(source: Source, node: Node) -> str:
    """The first character of a node; a bracket tells flow style."""
    return source.lines[node.span.line - 1][node.span.column - 1 :][:1]


class _Layout:
    """Places of one text, and the lines that follow from them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.starts: dict[int, list[_Start]] = {}
        """Keys and dashes that begin a line, from left to right."""
        self.shifts: dict[int, int] = {}
        """Further lines of values that take several, and by how many columns each of them moves."""
        self._walk_mapping(source.root, 0, None)

    def lines(self) -> list[str]:
        """The text in its layout."""
        written = [self._line(number) for number in range(len(self.source.lines))]
        head, sections, foot = self._sections()
        order = list(Recipe.model_fields)
        ranked = sorted(sections, key=lambda key: order.index(key) if key in order else len(order))
        numbers = [*head, *(number for key in ranked for number in sections[key]), *foot]
        # One blank line where there were several, none at the beginning and the end; values keep theirs.
        kept: list[str] = []
        for is_gap, group in groupby(numbers, key=lambda n: not written[n].strip() and n not in self.shifts):
            kept += [""] * bool(kept) if is_gap else [written[number] for number in group]
        return kept[:-1] if kept and not kept[-1] else kept

    # Which columns there are.

    def _walk_mapping(self, node: Mapping, column: int, outer: _Start | None) -> None:
        for entry in node.entries.values():
            start = _Start(entry.key_span.line - 1, entry.key_span.column - 1, column, outer)
            self._begin(start, entry.key_span)
            self._walk_value(entry.node, start)

    def _walk_list(self, node: List, column: int, outer: _Start) -> None:
        line, old = node.span.line - 1, node.span.column - 1
        for index, item in enumerate(node.items):
            if index:  # the line of the next dash, at the latest that of its item
                below = range(line + 1, item.span.line)
                dash = next((n for n in below if self.source.lines[n].startswith(" " * old + "-")), None)
                if dash is None:
                    raise _unlike(item.span)
                line = dash
            start = _Start(line, old, column, outer)
            self._begin(start, item.span)
            self._walk_value(item, start)

    def _walk_value(self, node: Node, start: _Start) -> None:
        is_block = _character(self.source, node) not in ("[", "{")
        match node:
            case Mapping() if is_block:
                self._walk_mapping(node, start.new + _STEP, start)
            case List() if is_block:
                self._walk_list(node, start.new + _STEP, start)
            case _:
                shift = start.new - start.old  # lines of a value stay where they are beside their key
                if _BLOCK.match(self.source.lines[node.span.line - 1][node.span.column - 1 :]):
                    lines = self.source.lines[node.span.line : node.span.end_line]
                    level = start.new + _STEP  # a block of text moves to one level below its key
                    shift = level - next((_indent(line) for line in lines if line.strip()), level)
                self.shifts |= dict.fromkeys(range(start.line + 1, node.span.end_line), shift)

    def _begin(self, start: _Start, span: Span) -> None:
        """Takes down a place, before which only spaces and dashes may stand."""
        if self.source.lines[start.line][: start.old].replace("-", " ").strip():
            raise _unlike(span)
        self.starts.setdefault(start.line, []).append(start)

    # How lines look.

    def _line(self, number: int) -> str:
        line = self.source.lines[number]
        if starts := self.starts.get(number):
            ends = [start.old for start in starts[1:]]
            parts = [line[start.old : end].rstrip() for start, end in zip(starts, [*ends, None], strict=True)]
            return " " * starts[0].new + " ".join(parts)
        content = line.lstrip(" ")
        if number in self.shifts:
            return " " * (_indent(line) + self.shifts[number]) + content if content else ""
        return (" " * self._comment_column(number, _indent(line)) + content).rstrip()

    def _comment_column(self, number: int, column: int) -> int:
        """That of the line below where they were aligned, else that of the innermost level which it stood in."""
        below = next((self.starts[n][0] for n in range(number, len(self.source.lines)) if n in self.starts), None)
        above = next((self.starts[n][-1] for n in range(number, -1, -1) if n in self.starts), None)
        if below and below.old == column:
            return below.new
        levels = [*(above.columns if above else ()), *([(below.old, below.new)] if below else [])]
        reached = [(old, -new) for old, new in levels if old <= column]  # the outer one, where a list is not indented
        return -max(reached)[1] if reached else 0

    # Which lines go together.

    def _sections(self) -> tuple[Sequence[int], dict[str, Sequence[int]], Sequence[int]]:
        """Numbers of the lines before the sections, of each section, and behind them."""
        entries = self.source.root.entries
        # Above all sections stands what goes up to a blank line, a `---` or the editor's line.
        above = self.source.lines[: min(self.starts)]
        ends = [n for n, line in enumerate(above, 1) if not line.strip() or line.startswith(("---", _EDITOR_LINE))]
        begin = head = ends[-1] if ends else 0
        sections: dict[str, Sequence[int]] = {}
        for key, entry in entries.items():
            end = self._with_own_comments(max(entry.node.span.end_line, entry.key_span.line))
            sections[key] = range(begin, end)
            begin = end
        return range(head), sections, range(begin, len(self.source.lines))

    def _with_own_comments(self, end: int) -> int:
        """The line behind indented comments that follow a section, with the blank lines between."""
        reached = end
        for number in range(end, len(self.source.lines)):
            line = self.source.lines[number]
            if line.strip() and not line.startswith(" "):
                break
            reached = number + 1 if line.strip() else reached
        return reached


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
