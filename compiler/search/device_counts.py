"""How many devices share a run: the numbers that a recipe allows, and what each number settles."""

from __future__ import annotations

from ftc.compiler.draft import Draft

__all__ = ["device_counts", "on_devices", "threads_of_each"]


def device_counts(draft: Draft) -> tuple[int, ...]:
    """The numbers of devices that the recipe allows, the least first.

    `auto` stands for one up to as many of the plan's kind as this machine has: processes on a processor share it, so
    that it counts as one. Each device has a row of every step and room for a micro-batch that is written; what is to
    be shared needs two, and a proof of equal bits is made by one. A kind that isn't here can't be counted, and stands
    for one.
    """
    asked, train = draft.recipe.budget.devices, draft.recipe.train
    if asked != "auto":
        return (asked,)
    least = 1 if train.sharding == "auto" else 2
    if least == 1 and train.determinism in ("bitwise", "best_effort"):
        return (1,)
    here = draft.device.count if draft.device.local else 1
    return tuple(count for count in range(least, here + 1) if _have_rows(draft, count)) or (1,)


def _have_rows(draft: Draft, count: int) -> bool:
    batch, micro = draft.recipe.train.batch_size, draft.recipe.train.micro_batch
    return count <= batch and (micro == "auto" or micro <= -(-batch // count))


def on_devices(draft: Draft, count: int, reason: str | None) -> Draft:
    """The draft with so many devices, their processes and threads, and what they hold by themselves.

    Args:
        draft: With the threads of one process settled.
        count: How many.
        reason: Why; None where the recipe says so.
    """
    draft = draft.derive("device.count", count, reason) if reason else draft.take("device.count", "budget.devices")
    words = "one process on one device" if count == 1 else "a process for each device"
    draft = draft.derive("train.world_size", count, words)
    if count > 1 and draft.recipe.budget.threads == "auto":
        words = f"a part of the physical cores for each of {count} processes"
        draft = draft.derive("device.threads", threads_of_each(draft, count), words)
    return _choose_offload(_choose_kind(draft, count))


def threads_of_each(draft: Draft, count: int) -> int:
    """CPU threads of each of so many processes: those of one machine share its cores."""
    asked = draft.recipe.budget.threads
    return max(1, draft.device.threads // count) if asked == "auto" else asked


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
