"""A recipe's own mistakes: text, keys, types, and rules between fields, found without looking at anything it names.

Apart from the rest of the compiler, so that `ftc validate` costs little more than importing pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.compiler.rules.recipe_rules import check_rules
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.old_keys import with_new_keys
from ftc.spec.language.parse import parse_recipe
from ftc.spec.language.remainder import parse_remainder
from ftc.spec.language.source import Source, read_source_bytes, shown_lines
from ftc.spec.sections.recipe import Recipe

if TYPE_CHECKING:
    from ftc.compiler.recipes.layers import Override
    from ftc.spec.base import Money

__all__ = ["Checked", "check_recipe"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe that was read: typed if it has no errors.

    Attributes:
        recipe: The recipe, or None with at least one error among the findings.
        source: Its text with places, or None when it is no YAML that ftc reads; with what it extends and what lies on
            top, where these could be read.
        diagnostics: All findings, sorted by place.
        sources: Lines of the recipe and of every other file that it is made of, by the name that places carry.
        overrides: What lies on top of the file, as texts for `--set`.
        prices: What an hour of a device costs by the project's policy, by the device's name; asked where the recipe
            limits its cost and names no price.
    """

    recipe: Recipe | None
    source: Source | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    prices: Mapping[str, Money] = field(default_factory=dict)


def check_recipe(
    data: bytes,
    file: str,
    *,
    path: Path | None = None,
    overrides: Sequence[Override] = (),
    project: Path | None = None,
) -> Checked:
    """Reads text, keys, types, and rules between fields.

    Of the disk it touches only files that make up the recipe, and the project's policy where a limit on the cost needs
    a price.

    Args:
        data: The recipe's text; it need not be what lies on the disk.
        file: The name that places carry.
        path: Where the recipe lies; without, it can't extend another, and nothing can lie on top.
        overrides: What lies on top: texts for `--set`, and files.
        project: A file in the project whose policy prices devices; `path` where left out.

    Raises:
        OSError: A file of `overrides` or the policy can't be read.
    """
    source, found = read_source_bytes(data, file)
    lines = {file: source.lines if source else shown_lines(data)}
    if source is None:
        return Checked(None, None, _sorted(found), lines)
    if not overrides and "extends" not in source.root.entries:
        return _check_source(source, lines, (), project or path)
    try:
        from ftc.compiler.recipes.layers import layered

        if path is None:
            help = "save the text as a file in a project first"
            span = source.key_span("extends")
            raise Refusal([diagnostic("FTC025", "`extends` needs a recipe that is a file", span, help=help)])
        layers = layered(source, path, overrides)
    except Refusal as refusal:
        return Checked(None, source, refusal.diagnostics, {**refusal.sources, **lines})
    return _check_source(layers.source, {**layers.lines, **lines}, layers.overrides, project or path)


def _check_source(
    source: Source, lines: Mapping[str, tuple[str, ...]], overrides: tuple[str, ...], project: Path | None
) -> Checked:
    source, renamed = with_new_keys(source)
    recipe, found = parse_recipe(source)
    found = (*renamed, *found)
    prices: Mapping[str, Money] = {}
    if recipe is not None:
        try:
            # The project's policy is read only where the recipe counts on its prices.
            if project is None or recipe.budget.cost is None or recipe.budget.price_per_hour is not None:
                prices = {}
            else:
                from ftc.compiler.policy import prices_of
                from ftc.compiler.resolve.files.safe_files import project_root

                prices = prices_of(project_root(project))
        except Refusal as refusal:
            return Checked(None, source, _sorted((*found, *refusal.diagnostics)), {**refusal.sources, **lines})
        found = (*found, *check_rules(recipe, source, prices))
    elif (left := parse_remainder(source)) is not None:
        remainder, changed = left
        of_rest = check_rules(remainder, source, prices)
        found = (*found, *(one for one in of_rest if not _rests_on(one, changed)))
    failed = any(finding.is_error for finding in found)
    return Checked(None if failed else recipe, source, _sorted(found), lines, overrides, prices)


def _rests_on(finding: Diagnostic, changed: Iterable[tuple[str | int, ...]]) -> bool:
    """Whether a finding is about what was changed to read the rest of a recipe, or about a part of it."""
    path = (finding.path or "").replace("[", ".").replace("]", "").split(".")
    return any(path[: len(other)] == [str(part) for part in other] for other in changed)


def _sorted(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(findings, key=Diagnostic.sort_key))
