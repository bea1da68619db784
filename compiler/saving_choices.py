"""Whether training goes on while a checkpoint is written."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import ClosedDraft, Draft, Reasons
from ftc.compiler.memory.host_memory import copied_checkpoint, host_bytes

__all__ = ["choose_saving", "saving_settings"]

_WORTHWHILE = 2**30
"""Bytes of a checkpoint from which on it is written in the background: a usual disk takes seconds for them."""


def saving_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """What the recipe says of it; what it leaves open is `choose_saving`'s."""
    is_asked = draft.recipe.train.save_in_background is True
    return {"save_in_background": why.take("save_in_background", True)} if is_asked else {}


def choose_saving(draft: ClosedDraft) -> ClosedDraft:
    """Settles what the recipe leaves open: on a GPU, where host RAM is known to have room for a large checkpoint."""
    there, why = draft.device.host_bytes, draft.reasons("train")
    if draft.recipe.train.save_in_background != "auto" or draft.device.kind != "cuda" or there is None:
        return draft
    changes = {"save_in_background": why.derive("save_in_background", True, "host RAM holds a copy meanwhile")}
    found = draft.settle("train", draft.train.model_copy(update=changes), why)
    return found if copied_checkpoint(found) >= _WORTHWHILE and host_bytes(found) <= there else draft
