"""Reads YAML and JSON that was written for other programs: tolerantly, with a place for every key, and safely.

Such files follow PyYAML and OmegaConf: anchors and merge keys are common, `yes` is a boolean, a number may be written
as `1e-4`, and a key may stand there without a value. All of that is read here and none of it in recipes. No object is
ever constructed: nodes are made of the parser's events, tags are refused, and size, depth and the growth by aliases
are bounded.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.text_checks import Text, check_text
from ftc.spec.language.yaml_nodes import Entry, Mapping, Node, Plain, PlainScalar, Scalar, Sequence

__all__ = ["DEEPEST", "LARGEST_FILE", "MOST_NODES", "Foreign", "foreign_text", "plain", "read_yaml", "value_of"]

LARGEST_FILE = 1024 * 1024
"""Bytes of one configuration."""
MOST_NODES = 10_000
"""Keys and values, those that aliases repeat counted each time."""
DEEPEST = 32
"""Levels of nesting."""

_LONGEST_NUMBER = 64
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}

_Event: TypeAlias = Any  # ruamel's events carry no annotations


class Foreign(NamedTuple):
    """A configuration that was read.

    Attributes:
        file: Its name, as places carry it.
        lines: Its lines, with secrets masked.
        root: The tree.
        repeated: Keys that stand twice in one mapping, each with the place that does not count.
    """

    file: str
    lines: tuple[str, ...]
    root: Mapping
    repeated: tuple[tuple[str, Span], ...] = ()


def read_yaml(data: bytes, file: str) -> Foreign:
    """Reads a YAML or JSON file.

    Raises:
        Refusal: FTC390, with the place and the reason.
    """
    text = foreign_text(data, file)
    reader = _Reader(text)
    try:
        for event in YAML(typ="safe", pure=True).parse(text.content):
            reader.take(event)
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001  # hostile text makes a parser fail in any way, RecursionError included
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        offset = getattr(mark, "index", 0) if mark else 0
        reason = str(getattr(error, "problem", "") or "the parser gave up").splitlines()[0]
        raise Refusal(
            [
                _fault(
                    f"not YAML or JSON: {reason}", text.span(offset, offset + 1), "correct the file here, or just above"
                )
            ]
        ) from None
    if not isinstance(reader.root, Mapping):
        summary = "a configuration must be a mapping of keys to values"
        raise Refusal([_fault(summary, text.span(0, 1), "check that this is the right file")])
    return Foreign(file, text.lines, reader.root, tuple(reader.repeated))


def value_of(node: Node) -> PlainScalar | None:
    """The value of a scalar as PyYAML's users mean it; None for a list or a mapping."""
    if not isinstance(node, Scalar):
        return None
    return node.text if node.quoted else _typed(node.text)


def plain(node: Node) -> Plain:
    """The value of a node and all below it; the reader caps depth and size, so that recursion is safe."""
    match node:
        case Scalar():
            return value_of(node)
        case Sequence():
            return tuple(plain(item) for item in node.items)
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def _typed(text: str) -> PlainScalar:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return _SPECIAL.get(text.lower(), text)


def foreign_text(data: bytes, file: str) -> Text:
    """The text of a file, within the limits and with secrets masked.

    Raises:
        Refusal: FTC390: it is too large, or not UTF-8.
    """
    start = Span(file, 1, 1, 1, 1)
    if len(data) > LARGEST_FILE:
        summary = f"a file of {len(data) / 1024:,.0f} KiB; the largest that is read has {LARGEST_FILE // 1024} KiB"
        raise Refusal([_fault(summary, start, "check that this is a configuration, not data")])
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        summary = f"byte 0x{data[error.start]:02x} at offset {error.start:,} is not UTF-8"
        raise Refusal([_fault(summary, start, "save the file as UTF-8")]) from None
    if content.lstrip()[:1] == "{":  # JSON may indent by tabs, which YAML forbids; neither allows them inside a value
        content = content.replace("\t", " ")
    return check_text(content, file)[0]


@dataclass(slots=True)
class _Frame:
    """A collection that is still open. In a mapping, `key` is the key whose value comes next."""

    start: int
    is_mapping: bool
    anchor: str | None
    key: tuple[str, Span, bool] | None = None  # text, place, whether it is a merge key
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Mapping] = field(default_factory=list)
    size: int = 1


class _Reader:
    """Takes events one by one and builds nodes; an alias stands for the very node that its anchor named."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.root: Node | None = None
        self.repeated: list[tuple[str, Span]] = []
        self._open: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._documents = 0

    def take(self, event: _Event) -> None:
        """Handles one event.

        Raises:
            Refusal: The event has no place in a configuration, or a cap is reached.
        """
        match event:
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._refusal("a second document starts here", event, "keep one configuration a file")
            case AliasEvent():
                self._alias(event)
            case ScalarEvent():
                self._check(event)
                self._close(Scalar(event.value, event.style is not None, self._span(event)), 1, event.anchor)
            case CollectionStartEvent():
                self._check(event)
                self._start(event)
            case CollectionEndEvent():
                self._end(event)

    def _check(self, event: _Event) -> None:
        if event.tag:
            raise self._refusal("a tag, which could build any object", event, "write the value as plain data")

    def _start(self, event: _Event) -> None:
        if self._awaits_key():
            raise self._refusal("a list or mapping can't be a key", event, "give the key a name")
        self._open.append(_Frame(event.start_mark.index, isinstance(event, MappingStartEvent), event.anchor))
        if len(self._open) > DEEPEST:
            raise self._refusal(f"more than {DEEPEST} levels of nesting", event, "flatten the value")

    def _end(self, event: _Event) -> None:
        frame = self._open.pop()
        span = self.text.span(frame.start, event.end_mark.index)
        if not frame.is_mapping:
            self._close(Sequence(tuple(frame.items), span), frame.size, frame.anchor)
            return
        for mapping in frame.merged:
            frame.entries = {**mapping.entries, **frame.entries}
        self._close(Mapping(frame.entries, span), frame.size, frame.anchor)

    def _alias(self, event: _Event) -> None:
        if event.anchor not in self._anchors:
            raise self._refusal("an alias for a missing or enclosing value", event, "write the value out")
        node, size = self._anchors[event.anchor]
        if self._awaits_key() and not isinstance(node, Scalar):
            raise self._refusal("a list or mapping can't be a key", event, "give the key a name")
        self._close(node, size, None)

    def _awaits_key(self) -> bool:
        return bool(self._open) and self._open[-1].is_mapping and self._open[-1].key is None

    def _close(self, node: Node, size: int, anchor: str | None) -> None:
        """Hands a finished node to the collection that holds it."""
        if anchor:
            self._anchors[anchor] = (node, size)
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        frame.size += size
        if sum(one.size for one in self._open) > MOST_NODES:
            summary = f"more than {MOST_NODES:,} keys and values, aliases counted in full"
            raise Refusal([_fault(summary, node.span, "check that this is a configuration, not data")])
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:
            assert isinstance(node, Scalar)
            frame.key = (node.text, node.span, node.text == "<<" and not node.quoted)
        else:
            self._enter(frame, *frame.key, node)
            frame.key = None

    def _enter(self, frame: _Frame, key: str, place: Span, is_merge: bool, node: Node) -> None:
        """Sets a key; the last of several wins, as the other tools have it."""
        if is_merge:
            merged = node.items if isinstance(node, Sequence) else (node,)
            frame.merged += [one for one in merged if isinstance(one, Mapping)]
            return
        if key in frame.entries:
            self.repeated.append((key, frame.entries.pop(key).key_span))
        frame.entries[key] = Entry(place, node)

    def _span(self, event: _Event) -> Span:
        return self.text.span(event.start_mark.index, event.end_mark.index)

    def _refusal(self, summary: str, event: _Event, help: str) -> Refusal:
        return Refusal([_fault(summary, self._span(event), help)])


def _fault(summary: str, span: Span, *help: str) -> Diagnostic:
    return diagnostic("FTC390", summary, span, help=help)
