"""The recipe language as JSON Schema (2020-12), made from the models: for editors, and for the reference page.

Beside the standard keywords a field carries `x-effect` (what a change of it touches), `x-unit` (the unit of its number)
and `x-default-reason`. A schema can't say everything: rules between fields, and whole numbers written as `16.0`, are
left to `ftc validate`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo

from ftc.spec.base import Document
from ftc.spec.language.field_facts import QUANTITIES, choices_of, examples_of, forms_of, pattern_of, unit_of
from ftc.spec.language.section_tree import all_sections, default_reason, documents_in, effect_of, field_docs
from ftc.spec.sections.recipe import Recipe

__all__ = ["SCHEMA_ID", "Schema", "definition_of", "editor_schema", "recipe_schema", "type_in_words", "value_in_words"]

Schema = dict[str, Any]

SCHEMA_ID = "urn:ftc:recipe:1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LAYER = "layer."
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def editor_schema() -> Schema:
    """What an editor checks a recipe's file by: a recipe that stands alone must be whole, one that extends another
    may leave out any key.
    """
    whole = recipe_schema()
    definitions = whole.pop("$defs")
    head = {key: whole.pop(key) for key in ("$schema", "$id")}
    parts = {"Recipe": whole, **definitions}
    layers = {f"{_LAYER}{name}": _without_duties(schema) for name, schema in parts.items()}
    return {
        **head,
        "title": whole["title"],
        "description": whole["description"],
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": f"#/$defs/{_LAYER}Recipe"},
        "else": {"$ref": "#/$defs/Recipe"},
        "$defs": {**parts, **layers},
    }


def recipe_schema() -> Schema:
    """A recipe that stands alone, section by section under `$defs`, with the documentation of every field."""
    schema = Recipe.model_json_schema(mode="validation", by_alias=False)
    definitions: dict[str, Schema] = schema.pop("$defs")
    written: dict[str, Schema] = {}
    for _, section in all_sections():
        target = schema if section is Recipe else definitions.get(section.__name__, {})
        for name, field in section.model_fields.items():
            target["properties"][name] = _described(target["properties"][name], section, name, field)
        if section is not Recipe:
            written[section.__name__] = target
    used = set(_definitions_in([schema, *written.values()]))
    return {
        "$schema": _DIALECT,
        "$id": SCHEMA_ID,
        **schema,
        "$defs": {name: written[name] for name in written if name in used},
    }


def _described(schema: Schema, section: type[Document], name: str, field: FieldInfo) -> Schema:
    """A field's schema with what people and editors want to know of it."""
    choices, pattern = choices_of(section, name), pattern_of(section, name)
    closed: Schema = {"enum": list(choices)} if choices else {}
    form = _narrowed(
        _as_written(_with_bounds(schema), field),
        {"anyOf": [closed, {"type": "string", "pattern": pattern}]} if pattern else closed,
    )
    form = {key: value for key, value in form.items() if key not in ("title", "default", "discriminator")}
    # A `kind` that has no words of its own means what the section means that it chooses.
    about = " ".join((section.__doc__ or "").split()) if "const" in form else ""
    known: Schema = {"description": field_docs(section).get(name) or about}
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        listed = isinstance(default, tuple) and any(isinstance(one, Document) for one in default)
        known["default"] = (
            {} if isinstance(default, Document) else [one.said() for one in default] if listed else default
        )
        if form.get("type") == "string" and isinstance(default, int):  # bytes, which a recipe says with their unit
            known["default"] = f"{default >> 20} MiB"
        if not isinstance(default, Document):
            known["x-default-reason"] = default_reason(section, name)
    if examples := examples_of(section, name):
        known["examples"] = _as_json(examples)
    if unit := unit_of(section, name):
        known["x-unit"] = unit
    documents = documents_in(field.annotation)
    is_section = bool(documents) and (field.is_required() or isinstance(field.default, documents))
    if not is_section and (effect := effect_of(section, name)):
        known["x-effect"] = effect.value
    return {**form, **forms_of(section, name), **known}


def _with_bounds(schema: Schema) -> Schema:
    """The schema with standard words for bounds: behind a validator of ours pydantic writes its own."""
    named = {_BOUNDS.get(key, key): value for key, value in schema.items()}
    return {
        key: [_with_bounds(arm) for arm in value] if key in ("anyOf", "oneOf") else value
        for key, value in named.items()
    }


def _as_written(schema: Schema, field: FieldInfo) -> Schema:
    """The schema of a quantity as the text that a recipe holds; any other schema as it is."""
    form = _quantity_of(field.metadata) or _quantity(field.annotation)
    if form is None:
        return schema
    return {"anyOf": [form, {"type": "null"}]} if {"type": "null"} in schema.get("anyOf", ()) else form


def _quantity_of(marks: Iterable[Any]) -> Schema | None:
    for kind, form in QUANTITIES:
        if any(mark is kind.__metadata__[0] for mark in marks):
            return form
    return None


def _quantity(annotation: Any) -> Schema | None:
    if form := _quantity_of(getattr(annotation, "__metadata__", ())):
        return form
    return next((inner for part in get_args(annotation) if (inner := _quantity(part))), None)


def _narrowed(schema: Schema, names: Schema) -> Schema:
    """The schema with a set of names for its text, its items or its keys."""
    if not names:
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [_narrowed(arm, names) for arm in schema["anyOf"]]}
    match schema.get("type"):
        case "array":
            return {**schema, "items": names}
        case "object":
            return {**schema, "propertyNames": names}
        case "string" if "const" not in schema:
            return {**schema, **names}
        case _:
            return schema


def _without_duties(schema: Any) -> Any:
    """The schema of a part of a recipe: no key is required, so that alternatives may overlap."""
    match schema:
        case dict():
            layer = {
                "anyOf" if key == "oneOf" else key: _without_duties(value)
                for key, value in schema.items()
                if key != "required"
            }
            if isinstance(name := schema.get("$ref"), str):
                layer["$ref"] = name.replace("#/$defs/", f"#/$defs/{_LAYER}")
            return layer
        case list():
            return [_without_duties(item) for item in schema]
        case _:
            return schema


def _definitions_in(schema: Any) -> Iterator[str]:
    """Names of the definitions that a schema refers to."""
    match schema:
        case {"$ref": str(reference)}:
            yield reference.removeprefix("#/$defs/")
        case dict():
            for value in schema.values():
                yield from _definitions_in(value)
        case list():
            for item in schema:
                yield from _definitions_in(item)
        case _:
            pass


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, tuple) else value


_SIGNS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "minItems": "items ≥",
    "maxItems": "items ≤",
}

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
        [_base(target, root, called), *(f"{_SIGNS[key]} {target[key]}" for key in _SIGNS if key in target)]
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
        case str() if not value.isprintable():
            return json.dumps(value)
        case _:
            return "null" if value is None else str(value)
