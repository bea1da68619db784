"""What may stand at a place of a recipe, and what it means there: the JSON Schema, asked by path.

Names of columns come from the first lines of the recipe's data file: enough to complete them, and no more.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.lsp.outline import Place
from ftc.spec.base import Effect
from ftc.spec.devices import CARDS
from ftc.spec.language.json_schema import Schema, definition_of, recipe_schema, type_in_words, value_in_words
from ftc.spec.language.section_tree import sections_at
from ftc.spec.language.text_checks import masked
from ftc.spec.language.yaml_nodes import typed
from ftc.spec.tasks.card import TaskSection

__all__ = ["Choice", "Key", "choices_at", "columns_of", "in_flow", "item_choices_at", "keys_at", "parts_of"]

MOST_BYTES = 64 * 1024
"""Bytes of the file that are read: an editor asks at every key stroke."""
MOST_COLUMNS = 200
LONGEST_NAME = 100
"""Characters; a longer one is hardly a name."""

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


def columns_of(recipe: Path, data: str) -> tuple[str, ...]:
    """The columns of a file of text rows, in its order; none where it is of another kind or can't be read.

    Args:
        recipe: The recipe's file.
        data: The path that it holds, which is followed inside the project alone.
    """
    try:
        file = safe_path(project_root(recipe), data, recipe.resolve().parent)
        if not file.is_file():
            return ()
        with file.open("rb") as opened:
            head = opened.read(MOST_BYTES)
    except (UnsafePath, OSError, ValueError):
        return ()
    text = masked(head.decode("utf-8", "replace").removeprefix("\ufeff"))
    names = _names(text, file.suffix.lower())
    return tuple(dict.fromkeys(name for name in names if name and len(name) <= LONGEST_NAME))[:MOST_COLUMNS]


def _names(text: str, suffix: str) -> list[str]:
    first = text.splitlines()[0] if text.strip() else ""
    if suffix in _SEPARATORS:
        try:
            return next(csv.reader([first], delimiter=_SEPARATORS[suffix]), [])
        except csv.Error:
            return []
    if suffix in _JSON_LINES:
        try:
            row = json.loads(first)
        except (ValueError, RecursionError):
            return []
        return list(row) if isinstance(row, dict) else []
    return []


_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./-]*")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the language at a place where it may stand.

    Attributes:
        name: As it is written.
        schema: Of its value, with documentation.
        is_required: Whether a recipe must have it there.
    """

    name: str
    schema: Schema
    is_required: bool

    @property
    def type(self) -> str:
        """The type of its value in a few words."""
        return type_in_words(self.schema, _root(), lambda name: "mapping" if name in _root()["$defs"] else None)

    @property
    def is_section(self) -> bool:
        """Whether its value is a mapping in every case."""
        arms = list(_arms(self.schema))
        return bool(arms) and all("properties" in arm or arm.get("type") == "object" for arm in arms)

    def explanation(self) -> str:
        """Type, unit, default, effect and meaning, as Markdown."""
        facts = [f"**`{self.name}`**", self.type]
        facts += [f"unit: {self.schema['x-unit']}"] if "x-unit" in self.schema else []
        if self.is_required:
            facts.append("required")
        elif "x-default-reason" in self.schema:
            facts.append(f"default `{value_in_words(self.schema['default'])}`")
        facts += [Effect(self.schema["x-effect"]).words] if "x-effect" in self.schema else []
        return f"{' · '.join(facts)}\n\n{self.schema.get('description', '')}".rstrip()


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that may stand at a place.

    Attributes:
        text: As it is written.
        about: What it is, in a few words.
    """

    text: str
    about: str = ""


def keys_at(path: Place, siblings: Mapping[str, str | None]) -> tuple[Key, ...]:
    """The keys that the mapping at `path` may have.

    Args:
        path: Of the mapping.
        siblings: The keys that it has, with their values as written; they tell which alternative is meant.
    """
    found: dict[str, Key] = {}
    for schema in _forms(path, siblings):
        for name, field in schema["properties"].items():
            found.setdefault(name, Key(name, field, name in schema.get("required", ())))
    return tuple(found.values()) or _named_keys(path)


def choices_at(path: Place, siblings: Mapping[str, str | None]) -> tuple[Choice, ...]:
    """What may be written as the value at `path`.

    Args:
        path: Of the value.
        siblings: The keys of the mapping that holds it, with their values as written.
    """
    found: dict[str, Choice] = {}
    for field in _fields(path, {key: value for key, value in siblings.items() if key != path[-1]}):
        for choice in (*_values(field), *(Choice(f"[{name}]") for name in _item_names(field)), *_examples(field)):
            found.setdefault(choice.text, choice)
    if path == ("budget", "device"):
        found |= {"auto": Choice("auto"), "cpu": Choice("cpu")}
        found |= {name: Choice(name, f"{card.label}, {card.memory_gib} GiB") for name, card in CARDS.items()}
    return tuple(found.values())


def item_choices_at(path: Place, siblings: Mapping[str, str | None]) -> tuple[Choice, ...]:
    """What may be an item of the list at `path`; arguments as for `choices_at`."""
    found = {name: Choice(name) for field in _fields(path, siblings) for name in _item_names(field)}
    return tuple(found.values())


def parts_of(task: str | None) -> tuple[str, ...]:
    """Parts of a kind of task, the required ones first; none for an unknown kind."""
    for form in sections_at(("task",)):
        if task in get_args(form.model_fields["kind"].annotation):
            return form.CARD.part_names if issubclass(form, TaskSection) else ()
    return ()


def in_flow(text: str) -> str:
    """A text as it may stand as a value anywhere, in quotes where it must."""
    return text if _PLAIN_TEXT.fullmatch(text) and typed(text) == text else json.dumps(text, ensure_ascii=False)


@cache
def _root() -> Schema:
    return recipe_schema()


def _forms(path: Place, siblings: Mapping[str, str | None]) -> list[Schema]:
    """The sections that may stand at a path: those that fit what is written, or all where none does."""
    if any(isinstance(part, int) for part in path):
        return []
    sections = sections_at(tuple(map(str, path)))
    names = [section.__name__ for section in sections]
    schemas = [
        _root()["$defs"][name] if path else _root() for name in names if name == "Recipe" or name in _root()["$defs"]
    ]
    fitting = [schema for schema in schemas if _fits(schema, siblings)]
    return fitting or schemas


def _fits(schema: Schema, siblings: Mapping[str, str | None]) -> bool:
    properties = schema["properties"]
    kind = properties.get("kind", {}).get("const")
    written = siblings.get("kind")
    return (not kind or not written or kind == written) and all(key in properties for key in siblings)


def _fields(path: Place, siblings: Mapping[str, str | None]) -> list[Schema]:
    """The schemas of the value at a path, one for each section that may hold it."""
    if not path:
        return []
    forms = _forms(path[:-1], siblings)
    return [form["properties"][path[-1]] for form in forms if path[-1] in form["properties"]]


def _named_keys(path: Place) -> tuple[Key, ...]:
    """Keys of a mapping whose keys are a closed set of names, such as `eval.gates`."""
    for field in _fields(path, {}):
        for arm in _arms(field):
            if names := _enumerated(arm.get("propertyNames", {})):
                schema = {**arm["additionalProperties"], "description": field["description"]}
                return tuple(Key(name, schema, is_required=False) for name in names)
    return ()


def _enumerated(names: Schema) -> list[str]:
    """Those of some names that can be listed."""
    return [name for arm in _arms(names) for name in arm.get("enum", ())]


def _arms(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, through references."""
    if name := definition_of(schema):
        yield _root()["$defs"][name]
    elif arms := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        for arm in arms:
            yield from _arms(arm)
    else:
        yield schema


def _values(schema: Schema) -> Iterator[Choice]:
    for arm in _arms(schema):
        kind: Any = arm.get("properties", {}).get("kind", {}).get("const")
        if kind:
            yield Choice(f"{{kind: {kind}}}", _first_sentence(arm.get("description", "")))
        elif "const" in arm:
            about = schema.get("description", "") if arm is schema else ""
            yield Choice(value_in_words(arm["const"]), _first_sentence(about))
        elif "enum" in arm:
            yield from (Choice(value_in_words(value)) for value in arm["enum"])
        elif arm.get("type") == "boolean":
            yield from (Choice("true"), Choice("false"))


def _item_names(schema: Schema) -> Iterator[str]:
    for arm in _arms(schema):
        yield from map(value_in_words, _enumerated(arm.get("items", {})))


def _examples(schema: Schema) -> Iterator[Choice]:
    """Examples of numbers and quantities; other texts are the user's own."""
    if "x-unit" in schema:
        scalars = (value for value in schema.get("examples", ()) if not isinstance(value, list | dict))
        yield from (Choice(value_in_words(value), "for example") for value in scalars)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
