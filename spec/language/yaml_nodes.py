"""The tree that a file becomes: its nodes with their places, what plain words mean, and which words may be keys."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ftc.spec.diagnostics import Diagnostic, Fix, Span, TextEdit, diagnostic
from ftc.spec.language.text_checks import STAND_IN, described

__all__ = [
    "Entry",
    "Mapping",
    "Node",
    "Plain",
    "PlainScalar",
    "Scalar",
    "Sequence",
    "key_fault",
    "number_fault",
    "plain",
    "shown_word",
    "typed",
]

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


_KEY = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_SHOWN = 64
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
# Letters of other alphabets that most fonts draw like a Latin one.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝьɡɑαονρυκικгпАВЕКМНОРСТХ",
    "aeopcyxijshdqwbgaaovpukikrnABEKMHOPCTX",
)


def key_fault(key: Scalar, path: str | None) -> Diagnostic | None:
    """What is wrong with a key, or None. `path` leads to the mapping that holds it."""
    if _KEY.fullmatch(key.text) or STAND_IN in key.text:  # a stand-in's character was reported before
        return None
    if key.text == "<<" and not key.quoted:
        help = "write the values out, or share them through `extends`"
        return diagnostic("FTC005", "a merge key", key.span, help=help, path=path)
    if not key.text:
        return diagnostic("FTC010", "a key without a name", key.span, help="name the key", path=path)
    if key.text.lower().startswith("x-") and not path:
        help = "write each value where it is used; files that begin with the same values share them by `extends`"
        why = "blocks `x-…` hold anchors in other programs' files; a recipe has neither"
        return diagnostic("FTC010", f"`{shown_word(key.text)}` is not a key", key.span, help=help, notes=why, path=path)
    spelled = _plain_form(key.text)
    meant = _meant(spelled, re.sub(r"\[[0-9]+\]", "", path or "")) if spelled else _Meant()
    # A hyphen can stand for nothing but an underscore. Any other guess is for a person to judge.
    safe = meant.is_sure and key.text.replace("-", "_") == spelled
    help = meant.help or "keys consist of lower-case letters, digits and underscores, and start with a letter"
    if safe:
        help = f"rename the key to `{meant.name}`"
    elif not key.quoted and ":" in key.text:
        help = "put a space after the colon"
    foreign = next((character for character in key.text if not character.isascii()), None)
    notes = [f"it contains {described(foreign)}"] if foreign else []
    return diagnostic(
        "FTC010",
        f"`{shown_word(key.text)}` is not a key",
        key.span,
        label=meant.label,
        help=help,
        notes=[*notes, *([meant.note] if meant.note else [])],
        fixes=[Fix(f"rename the key to `{meant.name}`", (TextEdit(key.span, meant.name),), safe=safe)]
        if meant.name
        else [],
        path=path,
    )


class _Meant(NamedTuple):
    """What a key that is spelled against the rules may mean.

    Attributes:
        name: The key; None where none is meant.
        is_sure: Whether nothing else can be.
        label: What is said of it at its place.
        help: What to do, where the word is another tool's.
        note: Where the key belongs.
    """

    name: str | None = None
    is_sure: bool = False
    label: str = ""
    help: str = ""
    note: str = ""


def _meant(key: str, section: str) -> _Meant:
    """What is meant by a key of a section, spelled by the rules."""
    from ftc.spec.language.did_you_mean import nearest
    from ftc.spec.language.foreign_words import foreign_word, is_slip, own_name
    from ftc.spec.language.section_tree import keys_at, places_of_key

    known = keys_at(section)
    own = key if key in known or not known else own_name(key, section)
    if own is not None and (own in known or not known):
        return _Meant(own, is_sure=True, label=f"did you mean `{own}`?")
    if foreign := foreign_word(key, section):
        return _Meant(label=foreign[0], help=foreign[1])
    if places := places_of_key(key):
        where = f"of `{places[0]}`" if places[0] else "at the top level"
        return _Meant(key, label=f"did you mean `{key}`?", note=f"`{key}` is a key {where}")
    if close := nearest(key, known):
        return _Meant(close, is_sure=is_slip(key, close), label=f"did you mean `{close}`?")
    return _Meant()


def _plain_form(key: str) -> str | None:
    """The key spelled by the rules, or None where the rules don't lead to one."""
    if len(key) > _LONGEST_SHOWN or ":" in key:
        return None
    latin = unicodedata.normalize("NFKC", key).translate(_LOOKALIKES)
    if not latin.isascii():
        return None
    word = _NOT_WORD.sub("_", _CAMEL.sub("_", latin).lower()).strip("_")
    return word if _KEY.fullmatch(word) else None


def shown_word(word: str) -> str:
    """A word of the file for a message: short, and as escapes where not ASCII, so that nothing looks alike."""
    short = word if len(word) <= _LONGEST_SHOWN else word[:_LONGEST_SHOWN] + "…"
    return "".join(c if (c.isascii() and c.isprintable()) or c == "…" else f"\\u{{{ord(c):x}}}" for c in short)
