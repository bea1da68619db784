"""From the parser's events to nodes, refusing on the way whatever the recipe language leaves out of YAML.

Nothing is composed or constructed: an alias is refused before anything is expanded, a tag before anything is built.
The stack is explicit, so that the depth of a file never becomes the depth of Python's stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from ftc.spec.diagnostics import Diagnostic, Related, Span, diagnostic
from ftc.spec.language.text_checks import MOST_FINDINGS, Text, described, odd_ends, odd_space, unseen_in_escapes
from ftc.spec.language.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence, key_fault, number_fault, shown_word

__all__ = ["DEEPEST", "LONGEST_SCALAR", "MOST_NODES", "read_events"]

DEEPEST = 32
"""Levels of nesting."""
MOST_NODES = 10_000
"""Keys, values, lists and mappings of one file."""
LONGEST_SCALAR = 64 * 1024
"""Characters of one value."""

_INTERPOLATION = re.compile(r"\$[{(]")
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+")
_TAG = re.compile(r"![^\s,\[\]{}]*")

_Event: TypeAlias = Any  # ruamel's events carry no annotations


@dataclass(slots=True)
class _Frame:
    """A collection that is still open. In a mapping, `key` is the key whose value comes next."""

    start: int
    end: int
    is_mapping: bool
    is_flow: bool
    as_key: bool = False
    key: tuple[str, Span, int] | None = None  # text, place, end offset
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)


class _Stop(Exception):
    """Reading can't or shouldn't go on; everything found so far stands."""


def read_events(text: Text) -> tuple[Node | None, list[Diagnostic]]:
    """The root node, or None where there is none, and what is wrong. Never raises, whatever the text."""
    reader = _Reader(text)
    try:
        for event in YAML(typ="safe", pure=True).parse(text.content):
            reader.take(event)
    except _Stop:
        pass
    except Exception as error:  # noqa: BLE001  # hostile text makes a parser fail in any way, RecursionError included
        from ftc.spec.language.yaml_errors import syntax_fault

        reader.findings.append(syntax_fault(text, error, reader.reached))
    return reader.root, reader.findings


class _Reader:
    """Takes events one by one, builds nodes and collects findings."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.findings: list[Diagnostic] = []
        self.root: Node | None = None
        self.reached = 0
        self._open: list[_Frame] = []
        self._documents = 0
        self._nodes = 0

    def take(self, event: _Event) -> None:
        """Handles one event.

        Raises:
            _Stop: A limit is passed or a second document starts.
        """
        match event:
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    span = self._span(event)
                    self._fault("FTC007", "a second document starts here", span, help="keep one recipe per file")
                    raise _Stop
            case AliasEvent():
                self._count(event)
                summary = f"an alias, `*{shown_word(event.anchor)}`"
                help = ("write the value out", "put the value in quotes if the `*` belongs to it")
                self._fault("FTC004", summary, self._span(event), help=help)
                self._close(Scalar("", True, self._span(event)), event.end_mark.index)
            case ScalarEvent():
                self._count(event)
                self._scalar(event)
            case CollectionStartEvent():
                self._count(event)
                self._start_collection(event)
            case CollectionEndEvent():
                frame = self._open.pop()
                end = self._trimmed(frame.start, event.end_mark.index) if frame.is_flow else frame.end
                span = self.text.span(frame.start, end)
                node = Mapping(frame.entries, span) if frame.is_mapping else Sequence(tuple(frame.items), span)
                if frame.as_key:
                    self._open[-1].key = ("", span, end)
                else:
                    self._close(node, end)
        if event.end_mark:
            self.reached = event.end_mark.index

    def _count(self, event: NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self._fault(
                "FTC015",
                f"more than {MOST_NODES:,} keys and values",
                self._point(event.start_mark.index),
                label="reading stopped here",
                help="move data into data files",
            )
            raise _Stop

    def _scalar(self, event: _Event) -> None:
        start = self._without_properties(event)
        end = self._trimmed(start, event.end_mark.index)
        quoted = event.style is not None
        if not event.value and not quoted:
            start = end = self._absent_value(start)
        node = Scalar(event.value, quoted, self.text.span(start, end))
        if self._awaits_key():
            self._key(node, end)
            return
        self._check_value(node, start, end, event.style)
        self._close(node, end)

    def _check_value(self, node: Scalar, start: int, end: int, style: str | None) -> None:
        if len(node.text) > LONGEST_SCALAR:
            summary = f"a value of {len(node.text):,} characters; the longest has {LONGEST_SCALAR:,}"
            help = "shorten it; a recipe contains settings, and rows belong in data files"
            self._fault("FTC016", summary, self._point(start), help=help)
            return
        if style is None and any(ends := odd_ends(node.text)):
            at = self.text.content.find(node.text, start)
            places = ((at, at + ends[0]), (at + len(node.text) - ends[1], at + len(node.text)))
            self.findings += [odd_space(self.text, *place) for place in places if at >= 0 and place[0] < place[1]]
        if style == '"' and (character := unseen_in_escapes(node.text)):
            summary = f"an escape for an invisible character: {described(character)}"
            self._fault("FTC011", summary, node.span, help="remove the escape")
        if match := _INTERPOLATION.search(self.text.content, start, end):
            self._fault(
                "FTC017",
                f"`{match[0]}` is not interpolated",
                self.text.span(match.start(), match.end()),
                label="is not expanded",
                help="write the value itself; use `--set` and `extends` for what varies",
            )
        if not node.quoted and (reason := number_fault(node.text)):
            self._fault("FTC020", reason, node.span, help="write a number in range, or quote it if it is text")

    def _start_collection(self, event: _Event) -> None:
        start = self._without_properties(event)
        is_mapping = isinstance(event, MappingStartEvent)
        frame = _Frame(start, start, is_mapping, bool(event.flow_style), as_key=self._awaits_key())
        if frame.as_key:
            help = ("give the key a name", "quote the value if its bracket is part of a text")
            self._fault("FTC010", "a list or mapping can't be a key", self._point(start), help=help)
        self._open.append(frame)
        if len(self._open) > DEEPEST:
            self._fault(
                "FTC014", f"more than {DEEPEST} levels of nesting", self._point(start), help="flatten the value"
            )
            raise _Stop

    def _awaits_key(self) -> bool:
        return bool(self._open) and self._open[-1].is_mapping and self._open[-1].key is None

    def _key(self, node: Scalar, end: int) -> None:
        frame, mapping_path = self._open[-1], self._path()
        frame.key = (node.text, node.span, end)
        frame.end = end
        if node.text in frame.entries:
            self._fault(
                "FTC003",
                f"duplicate key `{shown_word(node.text)}`",
                node.span,
                label="again here",
                related=(Related(frame.entries[node.text].key_span, "first here"),),
                help="keep one of the two",
            )
        elif fault := key_fault(node, mapping_path):
            self._add(fault)

    def _close(self, node: Node, end: int) -> None:
        """Hands a finished node to the collection that holds it."""
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        frame.end = max(frame.end, end)
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:  # an alias as a key; it was reported
            frame.key = ("", node.span, end)
        else:
            frame.entries.setdefault(frame.key[0], Entry(frame.key[1], node))
            frame.key = None

    def _without_properties(self, event: _Event) -> int:
        """Reports anchor and tag before a node; returns the offset where the node itself starts."""
        offset: int = event.start_mark.index
        for _ in range(bool(event.anchor) + bool(event.tag)):
            offset = self._past_blanks(offset)
            if match := _ANCHOR.match(self.text.content, offset):
                place = self.text.span(*match.span())
                self._fault(
                    "FTC004", f"an anchor, `{shown_word(match[0])}`", place, help="remove it, and write each value out"
                )
            elif match := _TAG.match(self.text.content, offset):
                help = "remove it; every value of a recipe is plain data"
                self._fault("FTC006", f"a tag, `{shown_word(match[0])}`", self.text.span(*match.span()), help=help)
            offset = match.end() if match else offset
        return self._past_blanks(offset) if event.anchor or event.tag else offset

    def _absent_value(self, start: int) -> int:
        """Where an absent value would stand: behind its key's colon or its dash."""
        frame = self._open[-1] if self._open else None
        if frame is None or frame.key is None:
            return self._trimmed(0, start)
        colon = self.text.content.find(":", frame.key[2], start)
        return frame.key[2] if colon < 0 else colon + 1

    def _past_blanks(self, offset: int) -> int:
        while self.text.content[offset : offset + 1].isspace():
            offset += 1
        return offset

    def _trimmed(self, start: int, end: int) -> int:
        while end > start and self.text.content[end - 1].isspace():
            end -= 1
        return end

    def _span(self, event: _Event) -> Span:
        return self.text.span(event.start_mark.index, event.end_mark.index)

    def _point(self, offset: int) -> Span:
        return self.text.span(offset, offset + 1)

    def _path(self) -> str | None:
        steps = [
            f".{frame.key[0] if frame.key else ''}" if frame.is_mapping else f"[{len(frame.items)}]"
            for frame in self._open
        ]
        return "".join(steps).strip(".") or None

    def _fault(
        self,
        code: str,
        summary: str,
        span: Span,
        *,
        label: str = "",
        help: str | tuple[str, ...] = (),
        related: tuple[Related, ...] = (),
    ) -> None:
        self._add(diagnostic(code, summary, span, label=label, help=help, related=related, path=self._path()))

    def _add(self, finding: Diagnostic) -> None:
        if len(self.findings) >= MOST_FINDINGS:
            raise _Stop
        self.findings.append(finding)
