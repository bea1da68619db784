"""The tree of a recipe's text: what stands where, before it means anything.

Scalars keep the text as written and are typed on demand by the YAML 1.2 core schema: `1e-4` is a float, `no` is a
string, `0o17` is 15. This module knows neither the parser nor the recipe's schema.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TypeAlias

from ftc.spec.diagnostics import Span

__all__ = ["Entry", "Mapping", "Node", "Plain", "PlainScalar", "Scalar", "Sequence", "number_fault", "plain", "typed"]

PlainScalar: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "PlainScalar | tuple[Plain, ...] | dict[str, Plain]"
"""A value as Python has it: sequences are tuples, mappings are dicts in the order of the file."""

LONGEST_NUMBER = 64
"""Characters of the longest number; a 64-bit integer needs 20 and an exact double 25."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = frozenset((".nan", ".NaN", ".NAN"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value without parts. `quoted` also holds for block scalars (`|`, `>`): their text is never typed."""

    text: str
    quoted: bool
    span: Span

    @property
    def value(self) -> PlainScalar:
        """The value as Python has it."""
        return self.text if self.quoted else typed(self.text)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, in either style."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a mapping, with the place of its key."""

    key_span: Span
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in either style, in the order of the file."""

    entries: dict[str, Entry]
    span: Span


Node: TypeAlias = Scalar | Sequence | Mapping


def typed(text: str) -> PlainScalar:
    """The value of an unquoted scalar by the YAML 1.2 core schema.

    Raises:
        ValueError: An integer has more digits than Python converts; `number_fault` tells beforehand.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITY.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    return math.nan if text in _NAN else text


def number_fault(text: str) -> str | None:
    """Why an unquoted scalar that looks like a number can't be one, or None."""
    if not any(pattern.fullmatch(text) for pattern in (_DECIMAL, _BASED, _FLOAT)):
        return None
    if len(text) > LONGEST_NUMBER:
        return f"a number of {len(text)} characters; the longest has {LONGEST_NUMBER}"
    if _FLOAT.fullmatch(text) and not _DECIMAL.fullmatch(text) and math.isinf(float(text)):
        return f"`{text}` is beyond the largest number, about 1.8e308"
    return None


def plain(node: Node) -> Plain:
    """The value of a node and all below it. The reader caps the depth, so that recursion is safe."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return tuple(plain(item) for item in node.items)
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}
