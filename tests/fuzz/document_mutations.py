"""Seeded ways to damage a document of a run: in bytes, in structure, and in one value that keeps its type."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.fuzz.file_mutations import damaged_bytes, damaged_json

__all__ = ["damaged_document"]

_NUMBERS = ("0.0", "-1.0", "1.0", "1e308", "-1e308", "1e-308", "nan", "inf", "0x1p3", "0.5")
_INTEGERS = (-1, 0, 1, 2, 7, 10**6, 2**31, 2**63, 2**64, 10**30, -(2**63))
_TEXTS = (
    "",
    " ",
    "../../x",
    "/etc/passwd",
    "a" * 300,
    "\u202eabc",
    "é",
    "0" * 64,
    "film",
    "\x00",
    "cpu",
    "2026-99-99T",
)


def damaged_document(name: str, data: bytes, chance: random.Random) -> bytes:
    """A document in which something is wrong; of lines, in one of them."""
    if not name.endswith("ndjson"):
        return _one(data, chance)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        case 2:
            lines[at] = lines[at][: len(lines[at]) // 2]
        case _:
            lines[at] = _one(lines[at], chance)
    return b"\n".join(lines)


def _one(data: bytes, chance: random.Random) -> bytes:
    how = chance.randrange(8)
    if how == 0:
        return damaged_bytes(data, chance)
    try:
        if how == 1:
            return damaged_json(data, chance)
        value = json.loads(data)
    except ValueError:
        return damaged_bytes(data, chance)
    for _ in range(chance.choice((1, 1, 2))):
        value = _changed(value, chance)
    return json.dumps(value).encode()


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with one thing in it changed that keeps its type."""
    match value:
        case dict() | list() if value and chance.random() < 0.93:
            key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
            value[key] = _changed(value[key], chance)
            return value
        case dict():
            return dict(list(value.items())[1:]) if chance.random() < 0.5 else {}
        case list():
            return chance.choice(([], value[::-1], value * 2, value[1:], value[:-1]))
        case bool():
            return not value
        case int():
            return chance.choice((*_INTEGERS, value + 1, value - 1))
        case str():
            return chance.choice(_NUMBERS if _is_number(value) else (*_TEXTS, value[:-1], value * 2, value.upper()))
        case _:
            return chance.choice((None, 1, "1.0", "x", [], {}))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
