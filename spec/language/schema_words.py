"""JSON Schema in words, for the reference page and for what an editor shows of a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["definition_of", "type_in_words", "value_in_words"]

_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "minItems": "items ≥",
    "maxItems": "items ≤",
}

Schema = dict[str, Any]
Name = Callable[[str], str | None]
"""How a definition is called, or None where its form is to be told instead."""


def type_in_words(schema: Schema, root: Schema, called: Name = lambda name: None) -> str:
    """A schema's type in a few words: `integer, ≥ 1`, `list of text`, ``one of `a`, `b` ``.

    Args:
        schema: The schema of a value.
        root: The document that holds the definitions to which it refers.
        called: Names for definitions, such as links to them.
    """
    name = definition_of(schema)
    if name and (title := called(name)):
        return title
    target: Schema = root["$defs"][name] if name else schema
    if "const" in target:
        return f"`{value_in_words(target['const'])}`"
    if "enum" in target:
        return "one of " + ", ".join(f"`{value_in_words(value)}`" for value in target["enum"])
    if arms := [*target.get("anyOf", ()), *target.get("oneOf", ())]:
        return " or ".join(dict.fromkeys(type_in_words(arm, root, called) for arm in arms))
    return ", ".join(
        [_base(target, root, called), *(f"{_BOUNDS[key]} {target[key]}" for key in _BOUNDS if key in target)]
    )


def _base(schema: Schema, root: Schema, called: Name) -> str:
    match schema.get("type"):
        case "array" if isinstance(schema.get("items"), dict):
            return f"list of {type_in_words(schema['items'], root, called)}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"mapping to {type_in_words(schema['additionalProperties'], root, called)}"
        case "object":
            return "mapping"
        case "string":
            return "text"
        case str(name):
            return name
        case _:
            return "any value"


def definition_of(schema: Schema) -> str:
    """The name of the definition to which a schema refers, or nothing."""
    return str(schema.get("$ref", "")).removeprefix("#/$defs/")


def value_in_words(value: Any) -> str:
    """A JSON value as a recipe would write it, in one line."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{key}: {value_in_words(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(value_in_words, value)) + "]"
        case _:
            return "null" if value is None else str(value)
