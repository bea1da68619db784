"""What sources of rows and their augmentation can't be together."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.resolve.rows.source_paths import source_paths
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.data import PathSource
from ftc.spec.sections.recipe import Recipe

__all__ = ["readers_stand_alone", "sources_can_be_mixed", "variants_can_be_made"]


def readers_stand_alone(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A package's reader reads a file by itself: nothing of how ftc would read it counts."""
    for place, one in source_paths(recipe.data).values():
        if not isinstance(one, PathSource) or one.reader is None:
            continue
        for key in (name for name in ("delimiter", "sheet") if getattr(one, name) is not None):
            path, summary = f"{place}.{key}", f"`{key}` has no effect beside `reader`: the package reads the file"
            yield diagnostic("FTC486", summary, source.span(path), help=f"remove `{key}`", path=path)


def sources_can_be_mixed(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Several sources have weights all together or not at all, and one of them is measured."""
    several = recipe.data.source
    if not isinstance(several, tuple):
        return
    unweighted = [number for number, one in enumerate(several) if one.weight is None]
    if 0 < len(unweighted) < len(several):
        path = f"data.source[{unweighted[0]}]"
        help = "give each source a `weight`, or none"
        yield diagnostic("FTC263", "only some sources have a weight", source.span(path), help=help, path=path)
    shares = (recipe.data.split.validation, recipe.data.split.test)
    if all(one.only_train for one in several) and any(isinstance(share, float) and share > 0 for share in shares):
        words = "no source provides rows for evaluation" if several else "the list of sources is empty"
        help = "remove `only_train` from one source, or give separate validation and test files"
        yield diagnostic("FTC263", words, source.span("data.source"), help=help, path="data.source")
    elif recipe.data.stopping_strategy == "all_exhausted" and len(unweighted) == len(several):
        help = "give each source a `weight`, or remove `stopping_strategy`"
        path, summary = "data.stopping_strategy", "`stopping_strategy` has no effect without weights"
        yield diagnostic("FTC263", summary, source.span(path), help=help, path=path)


def variants_can_be_made(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Variants need something that varies, and a task whose labels don't depend on places in the text."""
    rule, kind, card = recipe.data.augment, recipe.task.kind, recipe.task.CARD
    if rule is None:
        return
    varies = rule.prompts or rule.paraphrases or rule.words or rule.characters
    summary, help, path = "", "", "data.augment"
    if not card.has_variants:
        summary, help = f"a {kind.replace('_', ' ')} task can't be augmented", "remove `augment`"
    elif rule.prompts and not card.has_prompt_variants:
        summary, help, path = f"a {kind} task has no prompt template", "remove `prompts`", "data.augment.prompts"
    elif rule.prompts and recipe.task.template is None:
        summary, help = "`prompts` adds prompts, but the task has no prompt of its own", "add `task.prompt`"
        path = "data.augment.prompts"
    elif not varies:
        summary, help = "the augmentation changes nothing", "add `prompts`, `paraphrases`, `words` or `characters`"
    if summary:
        yield diagnostic("FTC264", summary, source.span(path), help=help, path=path)
