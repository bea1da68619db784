"""A recipe's own mistakes: text, keys, types, and rules between fields, found without looking at anything it names.

Apart from the rest of the compiler, so that `ftc validate` costs little more than importing pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ftc.compiler.rules import check_rules
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.parse import parse_recipe
from ftc.spec.recipe import Recipe
from ftc.spec.source import Source, read_source_bytes

__all__ = ["Checked", "check_recipe"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe that was read: typed if it has no errors.

    Attributes:
        recipe: The recipe, or None with at least one error among the findings.
        source: Its text with places, or None when it is no YAML that ftc reads.
        diagnostics: All findings, sorted by place.
    """

    recipe: Recipe | None
    source: Source | None
    diagnostics: tuple[Diagnostic, ...]


def check_recipe(data: bytes, file: str) -> Checked:
    """Reads text, keys, types, and rules between fields. Touches nothing but the bytes given."""
    source, found = read_source_bytes(data, file)
    if source is None or any(finding.is_error for finding in found):
        return Checked(None, source, _sorted(found))
    recipe, problems = parse_recipe(source)
    if recipe is None:
        return Checked(None, source, _sorted((*found, *problems)))
    found = (*found, *problems, *check_rules(recipe, source))
    failed = any(finding.is_error for finding in found)
    return Checked(None if failed else recipe, source, _sorted(found))


def _sorted(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(findings, key=Diagnostic.sort_key))
