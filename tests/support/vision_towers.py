"""A small model of each type that reads images, by its configuration. Needs no torch."""

from __future__ import annotations

from typing import Any

__all__ = ["PALIGEMMA_2", "TOWERS"]

_TEXT: dict[str, Any] = {
    **{"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 8192},
}
_TOWER: dict[str, Any] = {
    **{"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 3, "num_attention_heads": 4},
    **{"image_size": 224, "patch_size": 14},
}
_EDGES = {"boi_token_index": 991, "eoi_token_index": 992}
_ROPE = {"rope_type": "default", "mrope_section": [8, 12, 12]}


def _qwen(model_type: str, **tower: Any) -> dict[str, Any]:
    own = {"num_heads": 4, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_chans": 3}
    ids = {"image_token_id": 990, "video_token_id": 991, "vision_start_token_id": 992, "vision_end_token_id": 993}
    text = {**_TEXT, "head_dim": 64, "rope_scaling": dict(_ROPE)}
    return {"model_type": model_type, "text_config": text, "vision_config": {**own, **tower}, **ids}


def _inner(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **_TEXT, **more}


_SIZES = {"intermediate_size": 768, "out_hidden_size": 256}
_TILES = [[224, 448], [448, 224], [448, 448]]
TOWERS: dict[str, dict[str, Any]] = {
    "llava": {
        "model_type": "llava",
        "image_token_index": 990,
        "text_config": _inner("llama"),
        "vision_config": {"model_type": "clip_vision_model", **_TOWER},
    },
    "llava_next": {
        "model_type": "llava_next",
        "image_token_index": 990,
        "image_grid_pinpoints": _TILES,
        "text_config": _inner("llama"),
        "vision_config": {"model_type": "clip_vision_model", **_TOWER},
    },
    "qwen2_vl": _qwen("qwen2_vl", depth=3, embed_dim=192, mlp_ratio=4, hidden_size=256),
    "qwen2_5_vl": _qwen("qwen2_5_vl", depth=3, hidden_size=192, **_SIZES, window_size=112, fullatt_block_indexes=[1]),
    "qwen3_vl": _qwen(
        "qwen3_vl",
        **{"depth": 3, "hidden_size": 192, **_SIZES, "num_position_embeddings": 256, "deepstack_visual_indexes": [0]},
    ),
    "gemma3": {
        "model_type": "gemma3",
        "image_token_index": 990,
        "mm_tokens_per_image": 64,
        **_EDGES,
        "text_config": _inner("gemma3_text", head_dim=64),
        "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER},
    },
    "smolvlm": {
        "model_type": "smolvlm",
        "image_token_id": 990,
        "scale_factor": 4,
        "text_config": _inner("llama"),
        "vision_config": {"model_type": "smolvlm_vision", **_TOWER},
    },
    "idefics3": {
        "model_type": "idefics3",
        "image_token_id": 990,
        "scale_factor": 2,
        "text_config": _inner("llama"),
        "vision_config": {"model_type": "idefics3_vision", **_TOWER},
    },
    "paligemma": {
        "model_type": "paligemma",
        "image_token_index": 990,
        "projection_dim": 256,
        "text_config": _inner("gemma", head_dim=64),
        "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER},
    },
    "internvl": {
        "model_type": "internvl",
        "image_token_id": 990,
        "image_seq_length": 64,
        "text_config": _inner("qwen2"),
        "vision_config": {"model_type": "internvl_vision", **_TOWER},
    },
}
"""A model of each type whose tower's widths are those of no real one, by config.json."""
_GEMMA_2 = _inner("gemma2", head_dim=64, query_pre_attn_scalar=64, sliding_window=4096)
PALIGEMMA_2 = {**TOWERS["paligemma"], "text_config": _GEMMA_2}
"""The same with another language model."""
