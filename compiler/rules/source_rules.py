"""What sources of rows and their augmentation can't be together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ftc.compiler.resolve.rows.source_paths import idle_keys, source_paths
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.data import PathSource
from ftc.spec.sections.recipe import Recipe

__all__ = ["own_columns_stand_alone", "readers_stand_alone", "sources_can_be_mixed", "variants_can_be_made"]


def readers_stand_alone(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A package's reader reads a file by itself: nothing of how ftc would read it counts. Only some files can lack the
    names of their columns; the files of a folder are seen where they are found.
    """
    for place, one in source_paths(recipe.data).values():
        if isinstance(one, PathSource):
            yield from idle_keys(one, one.path, place, source.span)


def own_columns_stand_alone(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Where the task's section names columns, `data.fields` names none for the part whose place these take."""
    task, several = recipe.task, recipe.data.source if isinstance(recipe.data.source, tuple) else ()
    idle = _parts(task.CARD.row_forms) - _parts(task.row_forms) if task.own_columns else frozenset()
    own = [(f"data.source[{number}].fields", one.fields or {}) for number, one in enumerate(several)]
    for place, fields in (("data.fields", recipe.data.fields), *own):
        for part in (one for one in fields if one in idle):
            path, summary = f"{place}.{part}", f"`{part}` has no effect beside `task.{task.own_key}`"
            help = f"remove it, or `{task.own_key}`"
            yield diagnostic("FTC252", summary, source.key_span(path), help=help, path=path)


def _parts(forms: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(part for form in forms for part in form)


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
