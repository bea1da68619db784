"""How many devices share the work, and what each of them holds."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.search.device_counts import device_counts, on_devices

__all__ = ["choose_sharding"]


def choose_sharding(draft: Draft) -> Draft:
    """Settles the number of devices, of processes and of their threads, `train.sharding` and `train.offload`.

    Where the recipe leaves the number open it is the least until it is known what fits, and `fit_budget` settles it.
    """
    if draft.recipe.budget.devices != "auto":
        return on_devices(draft, draft.recipe.budget.devices, None)
    counts = device_counts(draft)
    return on_devices(_checked(draft, most=counts[-1]), counts[0], "until it is known what fits")


def _checked(draft: Draft, most: int) -> Draft:
    """Devices can be counted here, and there are two where something is to be shared."""
    device, sharding = draft.device, draft.recipe.train.sharding
    if not device.local:
        return draft.find(
            "FTC295",
            f"`auto` counts this machine's cards, and it has no {device.label}",
            "budget.devices",
            help="write how many there are, such as `devices: 4`",
        )
    if sharding != "auto" and most == 1:
        return draft.find(
            "FTC290",
            f"`{sharding}` shares work among devices, and of {device.label} there is one",
            "train.sharding",
            help="drop `sharding`, or write how many devices there are where the plan is applied: `devices: 2`",
        )
    return draft
