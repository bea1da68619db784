"""Which tokens a masked language model has to fill in, and what stands in their place."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import MaskingSettings

__all__ = ["masking_settings"]


def masking_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How tokens are masked; nothing for a task that masks none."""
    tokens = draft.model.tokenizer
    if (share := draft.recipe.task.masked_share) is None or tokens.mask_id is None:  # refused before (FTC279)
        return {}
    found = MaskingSettings(
        share=why.take("masking.share", share, "task.mask_share"),
        mask_id=why.derive("masking.mask_id", tokens.mask_id, "the tokenizer's mask token"),
        vocabulary=why.derive("masking.vocabulary", tokens.vocab_size, "the tokenizer's tokens"),
    )
    return {"masking": found}
