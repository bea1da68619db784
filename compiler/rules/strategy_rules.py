"""Rules about strategies, optimizers and schedules, run by `ftc.compiler.rules.recipe_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.optimizers import OPTIMIZERS, OptimizerCard, candidates
from ftc.spec.schedules import SCHEDULES, ScheduleCard, schedule_card
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategy import Lora, QLora

__all__ = ["optimizer_values_count", "schedule_has_something_to_watch", "strategy_agrees_with_itself"]

_MOVES_WEIGHTS = ("olora", "pissa")
"""Beginnings that take directions out of the frozen weight, which has to be there whole."""


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


def schedule_has_something_to_watch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A rate that follows validation needs a validation split."""
    kind = recipe.train.schedule.kind
    if schedule_card(kind).watches_validation and recipe.data.split.validation == 0:
        path, help = "train.schedule.kind", "set `validation: 0.1` in `data.split`, or choose `cosine`"
        yield diagnostic("FTC204", f"`{kind}` needs validation data", source.span(path), help=help, path=path)


def strategy_agrees_with_itself(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Values of the strategy that exclude each other."""
    strategy = recipe.strategy
    if isinstance(strategy, Lora | QLora):
        for key, summary, help in _low_rank_conflicts(strategy):
            path = f"strategy.{key}"
            yield diagnostic("FTC270", summary, source.span(path), help=help, path=path)
        yield from _idle_patterns(strategy, source)
    if strategy.kind == "prefix_tuning" and recipe.train.activation_checkpointing is True:
        path, help = "train.activation_checkpointing", "drop it, or choose `prompt_tuning`"
        summary = "activations of prefix tuning can't be computed anew, since a second pass would lengthen the prefix"
        yield diagnostic("FTC270", summary, source.span(path), help=help, path=path)


def _low_rank_conflicts(strategy: Lora | QLora) -> Iterator[tuple[str, str, str]]:
    """Key, what is wrong with it, and the mend."""
    if isinstance(strategy, QLora):
        if strategy.init in _MOVES_WEIGHTS:
            yield "init", f"`{strategy.init}` changes the frozen weight, which is quantised", "write `kind: lora`"
        if strategy.quantization == "int8" and strategy.double_quantization is True:
            help = "drop `double_quantization`"
            yield "double_quantization", "8-bit weights have no scales that could be quantised", help


def _idle_patterns(strategy: Lora | QLora, source: Source) -> Iterator[Diagnostic]:
    """Each pattern tells something, and of some modules alone."""
    for position, pattern in enumerate(strategy.patterns):
        path = f"strategy.patterns[{position}]"
        if pattern.rank is None and pattern.alpha is None:
            summary, help = "a pattern without rank or alpha has no effect", "say its `rank`, its `alpha`, or both"
        elif pattern.modules == "all" and pattern.layers == "all":
            summary, help = "a pattern of all modules in all layers", "write `rank` and `alpha` in `strategy` instead"
        else:
            continue
        yield diagnostic("FTC230", summary, source.span(path), help=help, path=path)
