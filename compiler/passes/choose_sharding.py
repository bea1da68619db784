"""How many devices share the work, and what each of them holds."""

from __future__ import annotations

from ftc.compiler.draft import Draft

__all__ = ["choose_sharding"]


def choose_sharding(draft: Draft) -> Draft:
    """Settles the number of devices, of processes and of their threads, `train.sharding` and `train.offload`."""
    if draft.recipe.budget.devices == "auto":
        draft = draft.derive("device.count", 1, "one device, unless more are asked for")
    else:
        draft = draft.take("device.count", "budget.devices")
    count: int = draft.values["device.count"]
    reason = "one process on one device" if count == 1 else "a process for each device"
    draft = _share_threads(draft.derive("train.world_size", count, reason), count)
    return _choose_offload(_choose_kind(draft, count))


def _share_threads(draft: Draft, count: int) -> Draft:
    """Processes of one machine share its cores."""
    if count == 1 or draft.recipe.budget.threads != "auto":
        return draft
    threads = max(1, draft.values["device.threads"] // count)
    return draft.derive("device.threads", threads, f"a part of the physical cores for each of {count} processes")


def _choose_kind(draft: Draft, count: int) -> Draft:
    if count == 1:
        return draft.derive("train.sharding", "none", "one device holds everything")
    if draft.recipe.train.sharding == "auto":
        return draft.derive("train.sharding", "ddp", "exchanging gradients alone is fastest")
    return draft.take("train.sharding")


def _choose_offload(draft: Draft) -> Draft:
    if draft.recipe.train.offload == "auto":
        return draft.derive("train.offload", "none", "the device's memory is faster")
    return draft.take("train.offload")
