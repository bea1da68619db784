"""Recipes for tests: a small valid one as text, with sections replaced."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from ftc.spec.diagnostics import Diagnostic
from ftc.spec.language.parse import parse_recipe
from ftc.spec.language.source import Source, read_source
from ftc.spec.sections.recipe import Recipe

__all__ = ["is_of_the_recipe", "parsed", "plain_recipe", "problems_of", "read", "recipe_text"]

_LATER_CODES = frozenset(("FTC231", "FTC233", "FTC238", "FTC270", "FTC280", "FTC731"))
"""Codes of rules over the recipe alone, behind the first block of them."""


def is_of_the_recipe(code: str) -> bool:
    """Whether the recipe alone gives a finding, so that `validate` tells it."""
    of_images = "FTC120" <= code < "FTC140"  # what files and the model tell
    return (code < "FTC220" and not of_images) or code in _LATER_CODES


def plain_recipe(**sections: Any) -> dict[str, Any]:
    """A valid recipe as plain values; None takes a section away."""
    recipe = {
        "ftc": 1,
        "name": "tiny",
        "task": {"kind": "classification"},
        "data": {"source": {"path": "rows.jsonl"}},
        "model": {"base": "model"},
        "strategy": {"kind": "lora"},
        **sections,
    }
    return {name: value for name, value in recipe.items() if value is not None}


def recipe_text(**sections: Any) -> str:
    """The same as YAML."""
    stream = StringIO()
    YAML(typ="safe", pure=True).dump(plain_recipe(**sections), stream)
    return str(stream.getvalue())


def read(text: str) -> Source:
    """Reads text that has no faults of its own."""
    source, found = read_source(text, "recipe.yaml")
    assert source is not None, found
    return source


def problems_of(text: str) -> tuple[Diagnostic, ...]:
    """What the schema finds in a text."""
    return parse_recipe(read(text))[1]


def parsed(**sections: Any) -> Recipe:
    """A typed recipe."""
    recipe, found = parse_recipe(read(recipe_text(**sections)))
    assert recipe is not None, found
    return recipe
