"""How messages and recipes show text that somebody else wrote."""

from __future__ import annotations

import json
import re

__all__ = ["as_yaml", "label_name", "quoted"]

_MOST_CHARS = 80
_MOST_OF_LABEL = 48
_NOT_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan")
"""Words that some reader of YAML takes for something else than text."""


def quoted(text: str) -> str:
    """The text in backticks, at most 80 characters of it; what can't be seen is escaped, with its code point."""
    short = text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"
    seen = [c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in short]
    return f"`{''.join(seen)}`"


def label_name(label: str, *, quoted: bool = False) -> str:
    """A class for people, at most 48 characters of it; in quotes where its bounds or its characters can't be seen."""
    short = label if len(label) <= _MOST_OF_LABEL else f"{label[: _MOST_OF_LABEL - 1]}…"
    is_plain = short.isprintable() and short == short.strip() and "," not in short and bool(short)
    return short if is_plain and not quoted else json.dumps(short, ensure_ascii=not short.isprintable())


def as_yaml(value: str | bool | tuple[str, ...]) -> str:
    """A value of a recipe on one line; a text in quotes where YAML would read something else."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(as_yaml, value))}]"
        case _:
            is_plain = re.fullmatch(r"[./]*[A-Za-z_][\w./-]*", value) and value.lower() not in _NOT_TEXT
            if is_plain or not value.isprintable():  # a line break between single quotes would be a space
                return value if is_plain else json.dumps(value)
            return "'" + value.replace("'", "''") + "'"
