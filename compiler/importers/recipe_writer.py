"""Writes a recipe's values as YAML, each with a comment that tells where it is from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftc.compiler.importers.translation import Value
from ftc.spec.language.section_tree import section_at
from ftc.spec.language.yaml_nodes import typed

__all__ = ["write_recipe"]

_PLAIN = re.compile(r"(?:\.{1,2}/){0,8}[A-Za-z0-9_][\w./-]{0,200}", re.ASCII)
_COMMENT_COLUMN = 40
_LONGEST_COMMENT = 140


def write_recipe(values: Mapping[str, Value], heading: str) -> str:
    """The text of a recipe. Sections and keys stand in the order of the language.

    Args:
        values: Values by dotted path.
        heading: What the comment above says, one line.
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, last = path.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return "\n".join([f"# {_one_line(heading)}", *_lines(tree, (), tree)]) + "\n"


def _lines(section: Mapping[str, Any], path: tuple[str, ...], tree: Mapping[str, Any]) -> Iterator[str]:
    indent = "  " * len(path)
    document = section_at(path, _plain(tree))
    order = [*document.model_fields] if document else []
    for key in sorted(
        section, key=lambda key: (bool(path) and key != "kind", order.index(key) if key in order else len(order))
    ):
        value = section[key]
        if isinstance(value, Value):
            yield from _value_lines(f"{indent}{key}:", value, indent)
        else:
            yield f"{indent}{key}:"
            yield from _lines(value, (*path, key), tree)


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part.value if isinstance(part, Value) else _plain(part) for key, part in tree.items()}


def _value_lines(key: str, value: Value, indent: str) -> Iterator[str]:
    comment = f"# {_one_line(value.comment)}" if value.comment else ""
    if isinstance(value.value, str) and _fits_block(value.value):
        strip = "" if value.value.endswith("\n") else "-"
        yield f"{key} |{strip}  {comment}".rstrip()
        yield from (f"{indent}  {line}".rstrip() for line in value.value.removesuffix("\n").split("\n"))
    elif isinstance(value.value, tuple) and any(isinstance(item, dict) for item in value.value):
        yield f"{key:<{_COMMENT_COLUMN}}  {comment}".rstrip()
        yield from (f"{indent}  - {_inline(item)}" for item in value.value)
    else:
        yield f"{f'{key} {_inline(value.value)}':<{_COMMENT_COLUMN}}  {comment}".rstrip()


def _fits_block(text: str) -> bool:
    """Whether a text of several lines can stand as a block without changing."""
    lines = text.removesuffix("\n").split("\n")
    is_clean = all(line.isprintable() and line == line.rstrip() for line in lines)
    return len(lines) > 1 and is_clean and bool(lines[0]) and not lines[0].startswith(" ") and bool(lines[-1])


def _inline(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            # the shortest text that gives the same number: `2e-4` rather than `0.0002`, `3` rather than
            # `3.0`
            if value == int(value) and abs(value) < 1e15:
                return str(int(value))
            plain = repr(value)
            mantissa, _, exponent = f"{value:e}".partition("e")
            short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
            is_exact = float(short) == value
            return short if is_exact and ((len(short) <= len(plain) and abs(value) < 0.01) or "e" in plain) else plain
        case dict():
            return f"{{{', '.join(f'{key}: {_inline(one)}' for key, one in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            text = str(value)
            if _PLAIN.fullmatch(text) and isinstance(typed(text), str):
                return text
            if text.isprintable():
                return "'" + text.replace("'", "''") + "'"
            return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= _LONGEST_COMMENT else f"{line[: _LONGEST_COMMENT - 1]}…"
