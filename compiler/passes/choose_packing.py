"""Whether rows may share a sequence, and how an optimiser step's rows are chosen; `fit_budget` settles the rest."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.search.candidates import packing_obstacle

__all__ = ["choose_packing"]


def choose_packing(draft: Draft) -> Draft:
    """Settles `train.batching`, and `train.packing` where the recipe or the task leaves nothing open."""
    draft = draft.take("train.batching").take("train.micro_batch_tokens")
    asked, obstacle = draft.recipe.train.packing, packing_obstacle(draft)
    if asked == "auto":
        return draft.derive("train.packing", False, obstacle or "until it is known what fits")
    if not asked or obstacle is None:
        return draft.take("train.packing")
    draft = draft.find("FTC261", f"rows can't be packed: {obstacle}", "train.packing", help="leave `packing` out")
    return draft.derive("train.packing", False, obstacle)  # later passes find more, and need what can be
