"""Published sizes of models that read images, with arithmetic by hand: parameters, tokens, patches and pixels.

The image is one of 1,024 x 768 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "Case"]

_TOKENS, _WORDS = 4096, 512
"""Tokens of a row, and those beside its image where that alone has no room in it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model's published sizes, and what by hand comes to.

    Attributes:
        name: As its authors call it.
        config: What config.json says.
        parameters: Of all parts.
        tokens: Of the image in a row, without words around it.
        patches: That the tower reads of the image, in all its squares.
        pixels: Numbers that the tower reads.
        attention: The kernel that is planned with.
        longest: Pixels of the longer side of an image that is cut into squares, by the processor's file.
    """

    name: str
    config: dict[str, Any]
    parameters: int
    tokens: int
    patches: int
    pixels: int
    attention: str = "sdpa"
    longest: int | None = None

    @property
    def length(self) -> int:
        """Tokens of the planned row: 4,096, or more where the image has no room in that."""
        return max(_TOKENS, self.tokens + _WORDS)


def _of_layers(width: int, inner: int, layers: int, queries: int, keys: int, beside: int) -> int:
    """Weights of gated layers: queries and output, keys and values, three products, and what is beside these."""
    return layers * (2 * width * queries + 2 * width * keys + 3 * width * inner + beside)


def _of_tower(width: int, inner: int, layers: int) -> int:
    """Weights of layers with biases: four projections, two products, two norms."""
    return layers * (4 * (width**2 + width) + 2 * width * inner + inner + width + 4 * width)


def _siglip(places: int) -> int:
    """SigLIP's large tower: patches of 14 x 14 pixels, a vector for each place, 27 layers, the last norm."""
    return (3 * 14 * 14 + 1) * 1152 + places * 1152 + _of_tower(1152, 4304, 27) + 2 * 1152


_SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
_CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "patch_size": 14, "image_size": 336, "projection_dim": 768, "vocab_size": 32000,
}  # fmt: skip
_CLIP_WEIGHTS = 1024 + 3 * 14 * 14 * 1024 + 577 * 1024 + 2 * 1024 + _of_tower(1024, 4096, 24) + 2 * 1024
_MLP_OF_LLAVA = 1024 * 4096 + 4096 + 4096**2 + 4096
_PATCHES_OF_QWEN = 2 * 3 * 14 * 14 * 1280
_IDS_OF_QWEN = {
    "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652, "vision_end_token_id": 151653,
}  # fmt: skip

CASES = (
    Case(
        "LLaVA-1.5-7B",
        {
            "model_type": "llava", "image_token_index": 32000, "vision_config": _CLIP,
            "text_config": {
                "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32064,
                "max_position_embeddings": 4096,
            },
        },
        2 * 32064 * 4096 + _of_layers(4096, 11008, 32, 4096, 4096, 2 * 4096) + 4096 + _CLIP_WEIGHTS + _MLP_OF_LLAVA,
        tokens=24**2,
        patches=24**2 + 1,
        pixels=3 * 336**2,
    ),
    Case(
        "LLaVA-1.6-Mistral-7B",
        {
            "model_type": "llava_next", "image_token_index": 32000, "vision_config": _CLIP,
            "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
            "text_config": {
                "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32064,
                "max_position_embeddings": 32768, "sliding_window": None,
            },
        },
        2 * 32064 * 4096 + _of_layers(4096, 14336, 32, 4096, 1024, 2 * 4096) + 4096 + _CLIP_WEIGHTS + _MLP_OF_LLAVA
        + 4096,  # what ends a row of tiles
        # four tiles of 24 x 24 patches, of which the image fills 36 rows of 48, each with an end; and the whole
        tokens=36 * 48 + 36 + 24**2,
        patches=5 * (24**2 + 1),
        pixels=5 * 3 * 336**2,
    ),
    Case(
        "Qwen2-VL-2B",
        {
            "model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
            "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 32768, **_IDS_OF_QWEN,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {
                "model_type": "qwen2_vl", "depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4,
                "hidden_size": 1536, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
                "in_chans": 3,
            },
        },
        151936 * 1536 + _of_layers(1536, 8960, 28, 1536, 256, 1536 + 2 * 256 + 2 * 1536) + 1536
        + _PATCHES_OF_QWEN + _of_tower(1280, 5120, 32)
        + 2 * 1280 + 5120**2 + 5120 + 5120 * 1536 + 1536,  # the projector
        # 756 x 1,036 pixels, the nearest multiples of 28, in squares of 2 x 2 patches
        tokens=27 * 37,
        patches=4 * 27 * 37,
        pixels=2 * 3 * 756 * 1036,  # the image stands twice, as two frames
    ),
    Case(
        "Qwen2.5-VL-3B",
        {
            "model_type": "qwen2_5_vl", "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 128000, **_IDS_OF_QWEN,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {
                "model_type": "qwen2_5_vl", "depth": 32, "hidden_size": 1280, "intermediate_size": 3420,
                "num_heads": 16, "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2,
                "temporal_patch_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
                "in_chans": 3, "tokens_per_second": 2,
            },
        },
        151936 * 2048 + _of_layers(2048, 11008, 36, 2048, 256, 2048 + 2 * 256 + 2 * 2048) + 2048
        # layers of the tower: gated, with biases and norms without them
        + _PATCHES_OF_QWEN + 32 * (4 * (1280**2 + 1280) + 3 * 1280 * 3420 + 2 * 3420 + 1280 + 2 * 1280)
        + 1280 + 5120**2 + 5120 + 5120 * 2048 + 2048,
        tokens=27 * 37,
        patches=4 * 27 * 37,
        pixels=2 * 3 * 756 * 1036,  # the image stands twice, as two frames
    ),
    Case(
        "Qwen3-VL-4B",
        {
            "model_type": "qwen3_vl", **_IDS_OF_QWEN, "tie_word_embeddings": True,
            "text_config": {
                "model_type": "qwen3_vl_text", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
                "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
                "tie_word_embeddings": True, "max_position_embeddings": 262144, "rope_theta": 5000000,
                "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]},
            },
            "vision_config": {
                "model_type": "qwen3_vl", "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16,
                "out_hidden_size": 2560, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
                "in_channels": 3, "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
            },
        },
        # of a layer two norms of states and two of heads
        151936 * 2560 + _of_layers(2560, 9728, 36, 4096, 1024, 2 * 2560 + 2 * 128) + 2560
        + 2 * 3 * 16 * 16 * 1024 + 1024 + 2304 * 1024 + _of_tower(1024, 4096, 24)
        # the projector, and three more for states of inner layers, whose norms are over four patches
        + 2 * 1024 + 3 * 2 * 4096 + 4 * (4096**2 + 4096 + 4096 * 2560 + 2560),
        # 768 x 1,024 pixels, which are multiples of 32, in squares of 2 x 2 patches
        tokens=24 * 32,
        patches=4 * 24 * 32,
        pixels=2 * 3 * 768 * 1024,  # the image stands twice, as two frames
    ),
    Case(
        "Gemma-3-4B",
        {
            "model_type": "gemma3", "image_token_index": 262144, "boi_token_index": 255999, "eoi_token_index": 256000,
            "mm_tokens_per_image": 256, "vision_config": {**_SIGLIP, "image_size": 896},
            "text_config": {
                "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208,
                "sliding_window": 1024, "max_position_embeddings": 131072,
            },
        },
        # four norms of states, two of heads
        262208 * 2560 + _of_layers(2560, 10240, 34, 2048, 1024, 4 * 2560 + 2 * 256) + 2560
        + _siglip(64**2) + 1152 * 2560 + 1152,
        tokens=16**2,
        patches=64**2,
        pixels=3 * 896**2,
    ),
    Case(
        "SmolVLM-256M",
        {
            "model_type": "smolvlm", "image_token_id": 49190, "scale_factor": 4, "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "smolvlm_vision", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "patch_size": 16, "image_size": 512,
            },
            "text_config": {
                "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49280,
                "max_position_embeddings": 8192,
            },
        },
        2 * 49280 * 576 + _of_layers(576, 1536, 30, 576, 192, 2 * 576) + 576
        + (3 * 16 * 16 + 1) * 768 + 32**2 * 768 + _of_tower(768, 3072, 12) + 2 * 768
        + 16 * 768 * 576,  # the projector joins 4 x 4 patches
        # enlarged to 2,048 x 1,536: twelve squares and the whole, of 32 x 32 patches
        tokens=13 * 8**2,
        patches=13 * 32**2,
        pixels=13 * 3 * 512**2,
        longest=2048,
    ),
    Case(
        "Idefics3-8B",
        {
            "model_type": "idefics3", "image_token_id": 128257, "scale_factor": 2, "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "idefics3_vision", "hidden_size": 1152, "intermediate_size": 4304,
                "num_hidden_layers": 27, "num_attention_heads": 16, "patch_size": 14, "image_size": 364,
            },
            "text_config": {
                "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128259,
                "max_position_embeddings": 131072,
            },
        },
        2 * 128259 * 4096 + _of_layers(4096, 14336, 32, 4096, 1024, 2 * 4096) + 4096
        + _siglip(26**2) + 4 * 1152 * 4096,
        # enlarged to 1,456 x 1,092: twelve squares and the whole, of 26 x 26 patches
        tokens=13 * 13**2,
        patches=13 * 26**2,
        pixels=13 * 3 * 364**2,
        longest=1456,
    ),
    Case(
        "PaliGemma-3B-224",
        {
            "model_type": "paligemma", "image_token_index": 257152, "projection_dim": 2048,
            "vision_config": {**_SIGLIP, "image_size": 224, "projection_dim": 2048},
            "text_config": {
                "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 257216,
                "max_position_embeddings": 8192,
            },
        },
        257216 * 2048 + _of_layers(2048, 16384, 18, 2048, 256, 2 * 2048) + 2048
        + _siglip(16**2) + 1152 * 2048 + 2048,
        tokens=16**2,
        patches=16**2,
        pixels=3 * 224**2,
    ),
    Case(
        "PaliGemma2-3B-896",
        {
            "model_type": "paligemma", "image_token_index": 257152, "projection_dim": 2304,
            "vision_config": {**_SIGLIP, "image_size": 896, "projection_dim": 2304},
            "text_config": {
                "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 257216,
                "sliding_window": 4096, "query_pre_attn_scalar": 256, "max_position_embeddings": 8192,
            },
        },
        257216 * 2304 + _of_layers(2304, 9216, 26, 2048, 1024, 4 * 2304) + 2304
        + _siglip(64**2) + 1152 * 2304 + 2304,
        tokens=64**2,
        patches=64**2,
        pixels=3 * 896**2,
        attention="eager",  # transformers' Gemma 2 has no other kernel for it
    ),
    Case(
        "InternVL3-8B",
        {
            "model_type": "internvl", "image_token_id": 151667, "image_seq_length": 256, "downsample_ratio": 0.5,
            "vision_feature_layer": -1, "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "internvl_vision", "hidden_size": 1024, "intermediate_size": 4096,
                "num_hidden_layers": 24, "num_attention_heads": 16, "attention_bias": True, "patch_size": [14, 14],
                "image_size": [448, 448],
            },
            "text_config": {
                "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151674,
                "max_position_embeddings": 32768,
            },
        },
        2 * 151674 * 3584 + _of_layers(3584, 18944, 28, 3584, 512, 3584 + 2 * 512 + 2 * 3584) + 3584
        # the first token, places, and what each layer's two results are multiplied by; no last norm
        + (3 * 14 * 14 + 1) * 1024 + 1024 + (32**2 + 1) * 1024 + _of_tower(1024, 4096, 24) + 24 * 2 * 1024
        + 2 * 4096 + 4096 * 3584 + 3584 + 3584**2 + 3584,  # the projector joins 2 x 2 patches
        # three rows of four squares, which have the image's shape, and the whole, of 32 x 32 patches
        tokens=13 * 16**2,
        patches=13 * (32**2 + 1),
        pixels=13 * 3 * 448**2,
    ),
)  # fmt: skip
