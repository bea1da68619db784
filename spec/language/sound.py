"""A recipe without a mistake, read section by section, so that pydantic builds only what the recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from ftc.spec.base import Document
from ftc.spec.language.section_tree import documents_in
from ftc.spec.sections.recipe import Heading, Recipe

__all__ = ["read_sound"]


def read_sound(plain: Mapping[str, Any]) -> Recipe | None:
    """What `Recipe.model_validate` makes of plain values without a mistake; None where there may be one.

    Validating the whole recipe builds validators for every task and strategy that there is. Here each section is read
    by its own class, and that of another `kind` is never built.
    """
    fields = Recipe.model_fields
    if not fields.keys() >= plain.keys() or any(fields[name].is_required() for name in fields.keys() - plain.keys()):
        return None
    values: dict[str, Any] = {}
    try:
        heading = Heading.model_validate({name: plain[name] for name in plain if name in Heading.model_fields})
        for name, value in plain.items():
            if name in Heading.model_fields:
                values[name] = getattr(heading, name)
            elif section := _section(name, value):
                values[name] = section.model_validate(value)
            else:
                return None
    except ValidationError:
        return None
    return Recipe.model_construct(_fields_set=set(plain), **values)


def _section(name: str, value: Any) -> type[Document] | None:
    """The class that reads a section; None where no class does, or none is of its kind."""
    choices = documents_in(Recipe.model_fields[name].annotation)
    if len(choices) == 1 or not isinstance(value, Mapping):
        return choices[0] if len(choices) == 1 else None
    kind = value.get("kind")
    return next((one for one in choices if kind in get_args(one.model_fields["kind"].annotation)), None)
