"""Rules about what several devices share of a step: its rows, and the tokens of each.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.shardings import sharding_card

__all__ = ["asked_context", "devices_have_rows", "devices_share_rows"]


def asked_context(recipe: Recipe) -> int:
    """How many devices share each row by the recipe; 1 where that is open, since the solver begins there."""
    asked: int | str = recipe.train.context_parallel
    return 1 if isinstance(asked, str) else asked


def devices_share_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The devices of a machine make up whole groups that share rows."""
    devices, context = recipe.budget.devices, asked_context(recipe)
    if devices != "auto" and devices % context:
        each = "each machine" if recipe.budget.nodes > 1 else "the machine"
        yield diagnostic(
            "FTC717",
            f"groups of {context} devices share a row, and {each} has {devices}",
            source.span("train.context_parallel"),
            help=f"write `budget: {{devices: {-(-devices // context) * context}}}`, or remove `context_parallel`",
            path="train.context_parallel",
        )


def devices_have_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each device, or group of devices that share rows, has a row of every step, and a micro-batch is no more than its
    share.
    """
    batch, micro = recipe.train.batch_size, recipe.train.micro_batch
    nodes, context = recipe.budget.nodes, asked_context(recipe)
    devices: int | str = recipe.budget.devices
    if isinstance(devices, str):  # the least that can be chosen
        asked = recipe.train.sharding
        devices = max(context, 1 if asked == "auto" else sharding_card(asked).least_devices(nodes))
    shares = devices * nodes // context
    if shares <= 1:
        return
    if shares > batch:
        who = "devices" if context == 1 else "groups of devices"
        yield diagnostic(
            "FTC292",
            f"{shares} {who} share a batch of {batch} {'row' if batch == 1 else 'rows'}",
            source.span("budget.devices"),
            help=f"write `batch_size: {shares}` or more, fewer devices, or `train: {{context_parallel: N}}` to have "
            "N of them share a row",
            path="budget.devices",
        )
    elif micro != "auto" and micro <= batch and micro > (share := -(-batch // shares)):
        yield diagnostic(
            "FTC292",
            f"per-device batch size {micro} is larger than one device's share: {share} of {batch} rows",
            source.span("train.micro_batch"),
            help=f"write at most {share}, or remove `micro_batch`",
            path="train.micro_batch",
        )
