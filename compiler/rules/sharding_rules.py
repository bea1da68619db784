"""Rules about several devices: that there is something to share, and that it can be shared so.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ftc.compiler.rules.number_rules import value_at
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import STRATEGIES

__all__ = ["WHOLE", "devices_have_rows", "sharding_can_be_done", "sharding_has_devices", "unsharded"]


class _Whole(NamedTuple):
    """What torch's `fully_shard` can't divide, and what to choose instead."""

    path: str
    values: tuple[str, ...]
    reason: str
    help: str


WHOLE: tuple[_Whole, ...] = (
    *(
        _Whole("strategy.kind", (card.kind,), card.no_sharding.reason, card.no_sharding.help)
        for card in STRATEGIES
        if card.no_sharding is not None
    ),
    *(
        _Whole("train.optimizer.kind", (card.kind,), card.whole_tensors, "choose `adamw`, or `sharding: ddp`")
        for card in OPTIMIZERS
        if card.whole_tensors is not None
    ),
)
"""The one table of what goes with `sharding: ddp` alone."""


def unsharded(recipe: Recipe) -> Iterator[_Whole]:
    """What of a recipe `fsdp` can't divide."""
    return (one for one in WHOLE if value_at(recipe, one.path) in one.values)


def sharding_has_devices(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Several devices are asked for where something is to be shared, and `fsdp` where parts are to be moved."""
    train, devices = recipe.train, recipe.budget.devices
    if train.sharding != "auto" and devices == 1:
        yield diagnostic(
            "FTC290",
            f"`{train.sharding}` shares work among devices, and there is one",
            source.span("train.sharding"),
            help="write `budget: {devices: 2}` or more, or `devices: auto`, or drop `sharding`",
            path="train.sharding",
        )
    elif train.offload == "cpu" and train.sharding != "fsdp":
        yield diagnostic(
            "FTC290",
            "only `fsdp` can keep its parts in the host's memory",
            source.span("train.offload"),
            help="write `sharding: fsdp` and `budget: {devices: 2}` or more, or drop `offload`",
            path="train.offload",
        )


def sharding_can_be_done(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """What `fsdp` is to divide can be divided."""
    if recipe.train.sharding != "fsdp":
        return
    for whole in unsharded(recipe):
        yield diagnostic(
            "FTC291",
            f"`fsdp` can't divide what `{value_at(recipe, whole.path)}` needs",
            source.span("train.sharding"),
            help=whole.help,
            notes=whole.reason,
            path="train.sharding",
        )


def devices_have_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each device has a row of every step, and a micro-batch is no more than its share."""
    devices, batch, micro = recipe.budget.devices, recipe.train.batch_size, recipe.train.micro_batch
    if devices == "auto":  # the least that can be chosen
        devices = 1 if recipe.train.sharding == "auto" else 2
    if devices == 1:
        return
    if devices > batch:
        yield diagnostic(
            "FTC292",
            f"{devices} devices share a batch of {batch} {'row' if batch == 1 else 'rows'}",
            source.span("budget.devices"),
            help=f"write `batch_size: {devices}` or more, or fewer devices",
            path="budget.devices",
        )
    elif micro != "auto" and micro <= batch and micro > (share := -(-batch // devices)):
        yield diagnostic(
            "FTC292",
            f"micro-batch of {micro}, and a device's share of {batch} rows is {share}",
            source.span("train.micro_batch"),
            help=f"write at most {share}, or leave `micro_batch` out",
            path="train.micro_batch",
        )
