"""How many devices share a run: the numbers that a recipe allows."""

from __future__ import annotations

from ftc.compiler.draft import Draft

__all__ = ["device_counts"]


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
