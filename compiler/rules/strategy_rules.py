"""Rules about strategies, optimizers and schedules, run by `ftc.compiler.rules.recipe_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OPTIMIZERS, candidates
from ftc.spec.schedules import SCHEDULES, ScheduleCard, schedule_card
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import strategy_card

__all__ = [
    "optimizer_goes_with_the_schedule",
    "optimizer_values_count",
    "schedule_has_something_to_watch",
    "strategy_agrees_with_itself",
    "warm_up_is_said_once",
]


def optimizer_values_count(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each value of the optimizer and the schedule is one that its kind knows."""
    optimizer, schedule = recipe.train.optimizer.kind, recipe.train.schedule.kind
    sections: dict[str, tuple[str, tuple[str, ...], tuple[OptimizerCard | ScheduleCard, ...]]] = {
        "train.optimizer": (optimizer, candidates(optimizer)[0].reads, OPTIMIZERS),
        "train.schedule": (schedule, schedule_card(schedule).reads, SCHEDULES),
    }
    for section, (kind, known, cards) in sections.items():
        for name in dict.fromkeys(name for card in cards for name in card.reads):
            path = f"{section}.{name}"
            if name not in known and source.node(path) is not None:
                help = f"drop it{', or keep ' + ' and '.join(f'`{one}`' for one in known) if known else ''}"
                yield diagnostic(
                    "FTC230", f"`{name}` has no effect on `{kind}`", source.span(path), help=help, path=path
                )


def optimizer_goes_with_the_schedule(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """An optimizer that averages weights in place of a schedule has none beside it."""
    path, kind = "train.schedule.kind", recipe.train.schedule.kind
    for card in candidates(recipe.train.optimizer.kind):
        if card.schedules is not None and kind not in card.schedules and source.node(path) is not None:
            summary = f"`{kind}` beside `{card.kind}`, which averages weights in place of a schedule"
            help = f"drop it, or write `{card.schedules[0]}`"
            yield diagnostic("FTC277", summary, source.span(path), help=help, path=path)


def warm_up_is_said_once(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The warm-up is a share of the steps or a number of them."""
    path = "train.schedule.warmup_ratio"
    if recipe.train.schedule.warmup_steps is not None and source.node(path) is not None:
        summary, help = "`warmup_ratio` has no effect beside `warmup_steps`", "keep one of the two"
        yield diagnostic("FTC230", summary, source.span(path), help=help, path=path)


def schedule_has_something_to_watch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A rate that follows validation needs a validation split."""
    kind = recipe.train.schedule.kind
    if schedule_card(kind).watches_validation and recipe.data.split.validation == 0:
        path, help = "train.schedule.kind", "set `validation: 0.1` in `data.split`, or choose `cosine`"
        yield diagnostic("FTC204", f"`{kind}` needs validation data", source.span(path), help=help, path=path)


def strategy_agrees_with_itself(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Values of the strategy that exclude each other, or have no effect."""
    for one in recipe.strategy.conflicts():
        path = f"strategy.{one.key}"
        yield diagnostic(one.code, one.summary, source.span(path), help=one.help, path=path)
    obstacle = strategy_card(recipe.strategy).no_recomputing
    if obstacle is not None and recipe.train.activation_checkpointing is True:
        path = "train.activation_checkpointing"
        yield diagnostic("FTC270", obstacle.reason, source.span(path), help=obstacle.help, path=path)
