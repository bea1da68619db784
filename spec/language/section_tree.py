"""The recipe language seen as a tree of sections: which keys may stand where, and what the models say of them.

The text under a field is its documentation. All is read off the models themselves, and only when somebody asks: a
diagnostic, the reasons of a plan, the reference page, the JSON Schema, an editor.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

from ftc.spec.base import Document, Effect
from ftc.spec.sections.recipe import Recipe

__all__ = [
    "all_sections",
    "default_reason",
    "documents_in",
    "effect_of",
    "field_docs",
    "keys_at",
    "places_of_key",
    "section_at",
    "sections_at",
]


def documents_in(annotation: Any) -> tuple[type[Document], ...]:
    """The document classes that a field's annotation allows, in order, through unions and `Annotated`."""
    if isinstance(annotation, type):
        return (annotation,) if issubclass(annotation, Document) else ()
    return tuple(found for part in get_args(annotation) for found in documents_in(part))


def _documents_of(annotation: Any, *, in_lists: bool) -> tuple[type[Document], ...]:
    """The document classes of a field that is a mapping, or of the items of one that is a list."""
    inner = _list_types(annotation)
    listed = {found for one in inner for found in documents_in(one)}
    return tuple(found for found in documents_in(annotation) if (found in listed) == in_lists)


def _list_types(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is tuple:
        return (annotation,)
    return tuple(found for part in get_args(annotation) for found in _list_types(part))


def section_at(path: tuple[str | int, ...], plain: Mapping[str, Any]) -> type[Document] | None:
    """The class that reads the mapping at `path` of a recipe's plain values, or None where there is none.

    Where several could, the one whose `kind`, or whose keys, fit what is written.
    """
    section: type[Document] = Recipe
    annotation: Any = Recipe
    value: Any = plain
    for part in path:
        if isinstance(part, int):  # an item of the list that the field before was
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else None
            choices = _documents_of(annotation, in_lists=True)
        else:
            field = section.model_fields.get(part)
            annotation = field.annotation if field else None
            value = value.get(part) if isinstance(value, Mapping) else None
            choices = _documents_of(annotation, in_lists=isinstance(value, list | tuple))
        if not choices:
            return None
        written = value if isinstance(value, Mapping) else {}
        section = max(choices, key=lambda choice: _likeness(choice, written))
    return section


def sections_at(path: tuple[str, ...]) -> tuple[type[Document], ...]:
    """The classes that may read a mapping at `path`, whatever is written there; none where the language has no such."""
    forms: tuple[type[Document], ...] = (Recipe,)
    for part in path:
        fields = [form.model_fields[part] for form in forms if part in form.model_fields]
        forms = tuple(dict.fromkeys(found for field in fields for found in documents_in(field.annotation)))
    return forms


def all_sections() -> Iterator[tuple[str, type[Document]]]:
    """Every section with its dotted path, outermost first; alternatives share a path."""
    pending: list[tuple[str, type[Document]]] = [("", Recipe)]
    while pending:
        path, section = pending.pop(0)
        yield path, section
        for name, field in section.model_fields.items():
            inner = f"{path}.{name}".lstrip(".")
            pending += [(inner, choice) for choice in documents_in(field.annotation)]


def places_of_key(key: str) -> tuple[str, ...]:
    """Dotted paths of the sections in which a key is known, for "right key, wrong section"."""
    return tuple(dict.fromkeys(path for path, section in all_sections() if key in section.model_fields))


def keys_at(path: str) -> frozenset[str]:
    """Keys that some section at a dotted path has; none where a mapping there has names of the user's own."""
    return frozenset(key for place, section in all_sections() if place == path for key in section.model_fields)


def _likeness(choice: type[Document], value: Mapping[str, Any]) -> int:
    kind = choice.model_fields.get("kind")
    if kind and get_origin(kind.annotation) is Literal and value.get("kind") in get_args(kind.annotation):
        return 1000
    return sum(key in choice.model_fields for key in value)


@cache
def field_docs(section: type[Document]) -> dict[str, str]:
    """Documentation of each field of a section, its parents' included, white space folded."""
    docs: dict[str, str] = {}
    for parent in reversed(section.__mro__):
        if issubclass(parent, Document):
            docs |= _docs_in_source(parent)
    return docs


def default_reason(section: type[Document], field: str) -> str:
    """Why a field has its default, in the words of its documentation."""
    match = re.search(r"Default[^:]*: (.*)", field_docs(section).get(field, ""))
    return match[1].rstrip(".") if match else "default of the language"


def effect_of(section: type[Document], field: str) -> Effect | None:
    """What a change of the field touches; None in a section that says nothing."""
    effects: dict[str, Effect] = getattr(section, "EFFECTS", {})
    return effects.get(field, getattr(section, "EFFECT", None))


@cache
def _docs_in_source(section: type[Document]) -> dict[str, str]:
    """Documentation of a class's own fields; no more of its module is parsed, since a plan asks for a few of many."""
    text = inspect.getsource(sys.modules[section.__module__])
    found = re.search(rf"^class {section.__name__}\b.*\n(?:[ \t].*\n|\n)*", text, re.MULTILINE)
    docs: dict[str, str] = {}
    for node in ast.parse(found[0]).body if found else ():
        for pair in pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as doc)):
                    docs[name] = " ".join(doc.split())
    return docs
