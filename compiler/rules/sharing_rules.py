"""Rules about what several devices share of a step: its rows, and the tokens of each.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.shardings import SHARDINGS, sharding_card

__all__ = ["Sharing", "asked_sharing", "devices_divide_layers", "devices_have_rows", "devices_share_rows"]


class Sharing(NamedTuple):
    """Which devices have the same rows of a step.

    Attributes:
        context: How many share the tokens of each row.
        tensor: How many divide each layer.
    """

    context: int = 1
    tensor: int = 1

    @property
    def devices(self) -> int:
        """How many have the same rows."""
        return self.context * self.tensor


def asked_sharing(recipe: Recipe) -> Sharing:
    """What the recipe says; each has rows of its own where that is open, since the solver begins there."""
    context: int | str = recipe.train.context_parallel
    tensor: int | str = recipe.train.tensor_parallel
    return Sharing(1 if isinstance(context, str) else context, 1 if isinstance(tensor, str) else tensor)


def devices_share_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The devices of a machine make up whole groups that share rows."""
    devices, context = recipe.budget.devices, asked_sharing(recipe).context
    if devices != "auto" and devices % context:
        yield diagnostic(
            "FTC717",
            f"groups of {context} devices share a row, and {_machine(recipe)} has {devices}",
            source.span("train.context_parallel"),
            help=f"write `budget: {{devices: {-(-devices // context) * context}}}`, or remove `context_parallel`",
            path="train.context_parallel",
        )


def devices_divide_layers(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The devices of a machine make up whole groups that divide layers, and hold the rest in parts."""
    group, devices = asked_sharing(recipe), recipe.budget.devices
    if group.tensor == 1:
        return
    found = dict[str, str]()
    path, sharding = "train.tensor_parallel", recipe.train.sharding
    if devices != "auto" and devices % group.tensor:
        whole = -(-devices // group.tensor) * group.tensor
        summary = f"groups of {group.tensor} devices divide each layer, and {_machine(recipe)} has {devices}"
        found[summary] = f"write `budget: {{devices: {whole}}}`, or remove `tensor_parallel`"
    if group.context > 1:
        summary = "devices share the tokens of a row, or divide layers, but not both"
        found[summary] = "remove `context_parallel` or `tensor_parallel`"
    if sharding != "auto" and not sharding_card(sharding).is_divided:
        summary = f"`{sharding}` exchanges gradients of whole weights, and with `tensor_parallel` each device has parts"
        found[summary] = f"write `sharding: {SHARDINGS[-1].kind}`, or remove `tensor_parallel`"
    if recipe.train.offload == "cpu":
        summary = "`offload: cpu` is not possible where devices divide layers: their sums need parts on the device"
        found[summary] = "remove `offload` or `tensor_parallel`"
    for summary, help in found.items():
        yield diagnostic("FTC718", summary, source.span(path), help=help, path=path)


def _machine(recipe: Recipe) -> str:
    return "each machine" if recipe.budget.nodes > 1 else "the machine"


def devices_have_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each device, or group of devices that share rows, has a row of every step, and a micro-batch is no more than its
    share.
    """
    batch, micro = recipe.train.batch_size, recipe.train.micro_batch
    nodes, group = recipe.budget.nodes, asked_sharing(recipe).devices
    devices: int | str = recipe.budget.devices
    if isinstance(devices, str):  # the least that can be chosen
        asked = recipe.train.sharding
        devices = max(group, 1 if asked == "auto" else sharding_card(asked).least_devices(nodes))
    shares = devices * nodes // group
    if shares <= 1:
        return
    if shares > batch:
        who = "devices" if group == 1 else "groups of devices"
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
