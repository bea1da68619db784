"""The rule about compiled layers: a pure function of the form of `ftc.compiler.rules.recipe_rules`, which runs it."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe

__all__ = ["layers_can_be_compiled"]


def layers_can_be_compiled(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Compiled layers need one device, rows that are there before a step, and a checkpointing that they can contain."""
    train = recipe.train
    if not train.compile:
        return
    shares = recipe.budget.devices not in ("auto", 1) or recipe.budget.nodes > 1 or train.sharding != "auto"
    asked = train.activation_checkpointing
    obstacles = (
        (shares, "layers are compiled on one device alone", "leave `compile` out, or train on one device"),
        (
            recipe.writing is not None,
            "layers aren't compiled where training writes answers",
            "leave `compile` out",
        ),
        (
            asked != "auto" and not checkpointing_card(asked).compiles,
            f"compiled layers can't have `activation_checkpointing: {asked}`",
            "leave one of the two out, or write `true`",
        ),
    )
    if recipe.strategy.of_experts:
        summary = "layers whose experts have an adapter aren't compiled: peft changes their class in each pass"
        help = "leave `compile` out, or remove `target_parameters`"
        yield diagnostic("FTC259", summary, source.span("train.compile"), help=help, path="train.compile")
    for is_met, summary, help in obstacles:
        if is_met:
            yield diagnostic("FTC259", summary, source.span("train.compile"), help=help, path="train.compile")
