"""Which tokens of a text are masked, or missing, in training, and what stands in their place."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import MaskingSettings, SpanSettings
from ftc.spec.span_corruption import block_size, span_counts

__all__ = ["masking_settings"]


def masking_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How tokens are masked or taken out; nothing for a task that leaves texts as they are."""
    tokens = draft.model.tokenizer
    if (spans := draft.recipe.task.spans) is not None and tokens.eos_id is not None:  # else refused (FTC477)
        longest = block_size(draft.shape.max_length, *spans)
        needed = span_counts(longest, *spans).spans if longest else 0
        of_spans = SpanSettings(
            share=why.take("spans.share", spans.share, "task.noise_density"),
            mean_length=why.take("spans.mean_length", spans.mean_length, "task.mean_span_length"),
            sentinels=why.derive("spans.sentinels", tokens.sentinels[:needed], "the tokenizer's, for the longest row"),
            end_id=why.derive("spans.end_id", tokens.eos_id, "the tokenizer's token that ends a text"),
        )
        return {"spans": of_spans}
    if (share := draft.recipe.task.masked_share) is None or tokens.mask_id is None:  # refused before (FTC279)
        return {}
    found = MaskingSettings(
        share=why.take("masking.share", share, "task.mask_share"),
        mask_id=why.derive("masking.mask_id", tokens.mask_id, "the tokenizer's mask token"),
        vocabulary=why.derive("masking.vocabulary", tokens.vocab_size, "the tokenizer's tokens"),
    )
    return {"masking": found}
