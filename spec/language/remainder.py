"""What is left of a recipe with mistakes: rules between fields are checked on it, so that all mistakes come at once."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.parse import Path, kind_meant, source_path
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe

__all__ = ["parse_remainder"]

_MOST_ROUNDS = 4
"""Times that what is left of a recipe is read again; a value that was taken out can make another one a mistake."""


def parse_remainder(source: Source) -> tuple[Recipe, tuple[Path, ...]] | None:
    """The recipe that is left of a source with mistakes, and what was left out or read as its nearest word.

    So that rules between fields are checked beside mistakes in single ones. None where a part that a recipe can't do
    without is missing or unreadable.
    """
    plain: dict[str, Any] = source.plain()
    changed: list[Path] = []
    for _ in range(_MOST_ROUNDS):
        try:
            return Recipe.model_validate(plain), tuple(changed)
        except ValidationError as problem:
            errors: list[Any] = problem.errors(include_url=False)
        for error in errors:
            path = source_path(source, error["loc"])
            if error["type"] == "extra_forbidden":
                path = (*source_path(source, error["loc"][:-1]), error["loc"][-1])
            if error["type"] == "missing" or not path or not _mended(plain, path, error):
                return None
            changed.append(path)
    return None


def _mended(plain: dict[str, Any], path: Path, error: Any) -> bool:
    """Takes a faulty value out, or puts its nearest word in its place; whether that could be done."""
    holder: Any = plain
    for part in path[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if error["type"] == "union_tag_invalid" and isinstance(holder, dict) and isinstance(holder.get(path[-1]), dict):
        choices = re.findall(r"'([^']+)'", error["ctx"]["expected_tags"])
        close = nearest(str(error["ctx"]["tag"]), choices)
        holder[path[-1]]["kind"] = close
        return close is not None
    if isinstance(holder, dict) and isinstance(word := holder.get(path[-1]), str) and (kind := kind_meant(path, word)):
        holder[path[-1]] = {"kind": kind}
        return True
    if not isinstance(holder, dict):  # a list without an item would mean another one
        return False
    holder.pop(path[-1], None)
    return True
