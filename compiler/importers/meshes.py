"""Sizes of a mesh of devices, as other tools name them: copies of a model, which `hsdp` has one of on each machine."""

from __future__ import annotations

from ftc.compiler.importers.rules import HOW_MANY_MACHINES, Rules, dropped, shared_work
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.shardings import SHARDINGS

__all__ = ["divided_layers", "mesh_sizes", "parts_of_layers", "shared_rows"]

_COPIES = next(card for card in SHARDINGS if card.divided_among == "machine")


def divided_layers(keys: str) -> Rules:
    """Keys that give devices layers or experts of their own."""
    reason = "devices divide the model's weights, or each layer, and none has layers of its own"
    help = "set `train.sharding: fsdp` and `budget.devices`"
    return dropped(reason, keys, help, off=(False, None, "", 0, 1, {}))


def shared_rows(keys: str) -> Rules:
    """Keys that divide the tokens of a row among devices, whose number a launcher gives there."""
    return _in_groups(keys, "train.context_parallel")


def parts_of_layers(keys: str) -> Rules:
    """Keys that divide each layer among devices; likewise."""
    return _in_groups(keys, "train.tensor_parallel")


def _in_groups(keys: str, path: str) -> Rules:
    help = f"set `{path}`, and `budget.devices` to a multiple of it"
    return dropped("this file doesn't say how many devices there are", keys, help, off=(False, None, "", 0, 1, {}))


def mesh_sizes(copies: str, parts: str) -> Rules:
    """Two numbers: of copies of the model, each on a machine of its own here, and of devices that divide one.

    There a batch counts for one device, here for all of them, so that the rows of a step are multiplied.

    Args:
        copies: The key of the first.
        parts: The key of the second.
    """
    usual = shared_work(f"{copies} {parts}")

    def rule(t: Translation, key: Key) -> None:
        nodes, devices = (t.whole(one) if t.has(one) else None for one in (copies, parts))
        if nodes is None or nodes < 2 or devices == 1:  # of a copy on one device nothing is divided
            usual[copies](t, key)
        elif devices is None or devices < 1:
            t.drop(key, f"{nodes} copies of the model, on an unknown number of devices each", HOW_MANY_MACHINES)
        elif "train.sharding" not in t.values:
            t.carry([copies, parts], "train.sharding", _COPIES.kind, "each machine holds a copy")
            t.carry(copies, "budget.nodes", nodes)
            t.carry(parts, "budget.devices", devices)
            if (batch := t.values.get("train.batch_size")) is not None:
                rows = batch.value * nodes * devices
                t.carry([*batch.keys, copies, parts], "train.batch_size", rows, "rows of a step on all devices")

    return {copies: rule, parts: rule}
