"""Rules about strategies: what excludes what, in the form of `ftc.compiler.rules`, which runs them."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.recipe import Recipe
from ftc.spec.source import Source
from ftc.spec.strategy import Lora, QLora

__all__ = ["strategy_agrees_with_itself"]

_MOVES_WEIGHTS = ("olora", "pissa")
"""Beginnings that take directions out of the frozen weight, which has to be there whole."""


def strategy_agrees_with_itself(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Values of the strategy that exclude each other."""
    strategy = recipe.strategy
    if isinstance(strategy, Lora | QLora):
        for key, summary, help in _low_rank_conflicts(strategy):
            path = f"strategy.{key}"
            yield diagnostic("FTC270", summary, source.span(path), help=help, path=path)
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
