"""Rules about strategies, optimizers and schedules, run by `ftc.compiler.rules.recipe_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import card_of

__all__ = ["optimizer_values_count", "plateau_has_something_to_watch", "strategy_agrees_with_itself"]

_OF_ADAM = ("beta1", "beta2", "epsilon")
_OPTIMIZERS = {
    **dict.fromkeys(("auto", "adamw", "adamw_8bit", "adamw_paged", "adamw_8bit_paged"), _OF_ADAM),
    **dict.fromkeys(("lion", "lion_8bit"), ("beta1", "beta2")),
    "adafactor": (),
    "sgd": ("momentum",),
}
"""Values that an optimiser knows, beside those that all know."""
_SCHEDULES = {"warmup_stable_decay": ("decay_ratio",), "plateau": ("patience", "factor")}
_KNOWN_TO_SOME = {
    "train.optimizer": (*_OF_ADAM, "momentum"),
    "train.schedule": ("decay_ratio", "patience", "factor"),
}


def optimizer_values_count(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each value of the optimiser and the schedule is one that its kind knows."""
    kinds = {"train.optimizer": recipe.train.optimizer.kind, "train.schedule": recipe.train.schedule.kind}
    for section, kind in kinds.items():
        known = {**_OPTIMIZERS, **_SCHEDULES}.get(kind, ())
        for name in _KNOWN_TO_SOME[section]:
            path = f"{section}.{name}"
            if name not in known and source.node(path) is not None:
                help = f"drop it{', or keep ' + ' and '.join(f'`{one}`' for one in known) if known else ''}"
                yield diagnostic(
                    "FTC230", f"`{name}` has no effect on `{kind}`", source.span(path), help=help, path=path
                )


def plateau_has_something_to_watch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A rate that follows validation needs a validation split."""
    if recipe.train.schedule.kind == "plateau" and recipe.data.split.validation == 0:
        path, help = "train.schedule.kind", "set `validation: 0.1` in `data.split`, or choose `cosine`"
        yield diagnostic("FTC204", "`plateau` needs validation data", source.span(path), help=help, path=path)


def strategy_agrees_with_itself(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Values of the strategy that exclude each other, or have no effect."""
    for one in recipe.strategy.conflicts():
        path = f"strategy.{one.key}"
        yield diagnostic(one.code, one.summary, source.span(path), help=one.help, path=path)
    obstacle = card_of(recipe.strategy).no_recomputing
    if obstacle is not None and recipe.train.activation_checkpointing is True:
        path = "train.activation_checkpointing"
        yield diagnostic("FTC270", obstacle.reason, source.span(path), help=obstacle.help, path=path)
