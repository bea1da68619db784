"""One value of a recipe changed: in the document, and in the text that it was read from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ftc.spec.diagnostics import Span, TextEdit
from ftc.spec.language.source import FLAGS, Mapping, Source
from ftc.spec.sections.recipe import Recipe

__all__ = ["changed_recipe", "edit_of", "yaml_text"]


def changed_recipe(recipe: Recipe, path: str, value: Any) -> Recipe:
    """The recipe with another value; a mapping takes the place of the whole section.

    Raises:
        pydantic.ValidationError: The recipe can't have it.
    """
    plain = json.loads(recipe.model_dump_json(by_alias=True, exclude_unset=True))
    *outer, name = path.split(".")
    section = plain
    for part in outer:
        section = section.setdefault(part, {})
    section[name] = value
    return Recipe.model_validate_json(json.dumps(plain))


def edit_of(source: Source, path: str, value: Any) -> TextEdit | None:
    """The edit that writes a value into the text; None where it was said by a flag.

    A value that is there is replaced. Else it goes to the front of its section, in the section's own style, or as a
    section of its own to the end of the file.
    """
    text = yaml_text(value)
    node = source.node(path)
    if node is not None:
        return None if node.span.file == FLAGS else TextEdit(node.span, text)
    names = path.split(".")
    for depth in range(len(names) - 1, 0, -1):  # the innermost section that is there
        section = source.node(tuple(names[:depth]))
        if isinstance(section, Mapping):
            is_here = section.span.file == source.file
            return _into(source, section, _nested(names[depth:], text)) if is_here else None
        if section is not None:
            return None
    return _at_end(source, _nested(names, text)) if len(names) > 1 else _into(source, source.root, f"{path}: {text}")


def _nested(names: Sequence[str], text: str) -> str:
    """A value inside sections that are written on one line."""
    first, *inner = names
    return f"{first}: {{{_nested(inner, text)}}}" if inner else f"{first}: {text}"


def _into(source: Source, section: Mapping, entry: str) -> TextEdit:
    span = section.span
    line = source.lines[span.line - 1]
    is_flow = line[span.column - 1 : span.column] == "{"
    if is_flow:
        place = Span(span.file, span.line, span.column + 1, span.line, span.column + 1)
        return TextEdit(place, f"{entry}, " if section.entries else entry)
    place = Span(span.file, span.line, span.column, span.line, span.column)
    return TextEdit(place, f"{entry}\n{' ' * (span.column - 1)}")


def _at_end(source: Source, entry: str) -> TextEdit:
    last = len(source.lines)
    column = len(source.lines[-1]) + 1
    return TextEdit(Span(source.file, last, column, last, column), f"\n{entry}" if column > 1 else entry)


def yaml_text(value: Any) -> str:
    """A plain value on one line of YAML."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "{" + ", ".join(f"{key}: {yaml_text(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
