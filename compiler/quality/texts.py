"""The text of a row, as far as a reader would see it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftc.compiler.resolve.rows.columns import Columns
from ftc.spec.tasks import PARTS

__all__ = ["row_text"]


def row_text(row: Mapping[str, Any], columns: Columns) -> str:
    """Everything that the task reads of a row but its class and system messages, a line a value."""
    names = {column: None for part, column in columns.by_part.items() if PARTS[part].is_content}
    names |= dict.fromkeys(columns.in_prompt)
    return "\n".join(text for name in names for text in _texts(row.get(name)))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case {"role": "system"}:
            return
        case {"content": content}:
            yield from _texts(content)
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list() if all(isinstance(item, str) for item in value):
            yield " ".join(value)
        case list():
            for item in value:
                yield from _texts(item)
