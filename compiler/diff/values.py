"""Two trees of JSON values, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["changed_leaves", "leaves"]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted path; lists are leaves, and so are empty mappings."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def changed_leaves(old: Any, new: Any) -> tuple[list[tuple[str, Any, Any]], int]:
    """Paths at which two trees differ with both values, None where one has none, and how many leaves are equal."""
    before, after = dict(leaves(old)), dict(leaves(new))
    paths = sorted({*before, *after})
    changed = [(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]
    return changed, len(paths) - len(changed)
