"""What both releases of transformers do alike in the comparison of models that ftc writes."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["CHANGES", "FREQUENCIES", "answers"]

FREQUENCIES: dict[str, Any] = {
    "rope_theta": 50.0,
    "rotary_emb_base": 50.0,
    "rope_local_base_freq": 20.0,
    "global_rope_theta": 50.0,
    "local_rope_theta": 20.0,
}
"""Base frequencies in the words of transformers 4, so low that another one shows within a few tokens."""

CHANGES: dict[str, dict[str, Any]] = {"codegen": {"n_head": 4, "num_attention_heads": 4, "head_dim": 8}}
"""What a tiny model of a type needs to be valid."""
_TOKENS = 24


def answers(model: Any) -> torch.Tensor:
    """Scores of words where the model has them, hidden states elsewhere, for two rows of tokens."""
    ids = torch.arange(3, 3 + _TOKENS).repeat(2, 1)
    ids[1] = ids[1].flip(0)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :8].clone()
    with torch.inference_mode():
        found: torch.Tensor = model(**inputs)[0]
    return found.float().contiguous()
