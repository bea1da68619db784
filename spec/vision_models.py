"""Which models read images beside text, and what a plan has to know of them: one row a model type.

A model is a vision tower, a projector and a language model. In a row's tokens an image stands as often as it has
features, by the model's own token for images; the run puts the features in its place. Some models make every image as
large as their tower reads. Others keep its shape, so that it has as many features as fit its size, or cut it into
squares. Around the features some have words of their own, which transformers' processors write.
"""

from __future__ import annotations

from dataclasses import replace

from ftc.spec.vision_card import ImageWords, ModelPart, VisionModel

__all__ = ["PROCESSOR_FILES", "USUALLY_TRAINED", "VISION_MODELS", "vision_model"]

USUALLY_TRAINED: tuple[ModelPart, ...] = ("projector", "language_model")
"""What full training changes where a recipe doesn't say: what LLaVA and Qwen2.5-VL were tuned by."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how images become numbers."""

_QWEN = VisionModel(
    model_type="qwen2_vl",
    text_types=("qwen2_vl_text",),
    text_as={"qwen2_vl_text": "qwen2"},
    text_defaults={},
    tower_defaults={"num_heads": 16},
    ties=None,
    tower="visual",
    projector="merger",
    beside_projector=(),
    width_key="embed_dim",
    layers_key="depth",
    heads_key="num_heads",
    keeps_states=False,
    inner_key="intermediate_size",
    inner_ratio_key="mlp_ratio",
    shapes="patches",
    options={},
    inputs={"pixel_values": "patches", "image_grid_thw": "grids"},
    numbered_layers=(),
    crops=False,
    tokens_key=None,
    merge_key=None,
    count_keys=(),
    marks="mm_token_type_ids",
    sees_ahead="none",
    words=ImageWords(),
    behind_head="nothing",
    prompt_words=None,
    edge_keys=(),
    token_keys=("image_token_id",),
    own_keys=("video_token_id", "vision_start_token_id", "vision_end_token_id"),
    releases={},
)

_LLAVA = VisionModel(
    model_type="llava",
    text_types=("llama", "mistral", "qwen2"),
    text_as={},
    text_defaults={
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    tower_defaults={"num_attention_heads": 12},
    ties=None,
    tower="vision_tower",
    projector="multi_modal_projector",
    beside_projector=(),
    width_key="hidden_size",
    layers_key="num_hidden_layers",
    heads_key="num_attention_heads",
    keeps_states=True,
    inner_key="intermediate_size",
    inner_ratio_key=None,
    shapes="one",
    options={},
    inputs={"pixel_values": "squares"},
    numbered_layers=("vision_feature_layer",),
    crops=True,
    tokens_key=None,
    merge_key=None,
    count_keys=(),
    marks=None,
    sees_ahead="none",
    words=ImageWords(),
    behind_head="nothing",
    prompt_words=None,
    edge_keys=(),
    token_keys=("image_token_index", "image_token_id"),
    own_keys=(
        "multimodal_projector_bias",
        "projector_hidden_act",
        "vision_feature_layer",
        "vision_feature_select_strategy",
    ),
    releases={},
)

_GEMMA = replace(
    _LLAVA,
    model_type="gemma3",
    numbered_layers=(),
    keeps_states=False,
    text_types=("gemma3_text",),
    text_defaults={
        **{"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "head_dim": 256},
        **{"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208},
        **{"max_position_embeddings": 131_072, "sliding_window": 4096},
    },
    tower_defaults={
        **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"image_size": 224, "patch_size": 16},
    },
    ties=True,
    crops=False,
    tokens_key=("mm_tokens_per_image", 256),
    count_keys=("image_seq_length",),
    marks="token_type_ids",
    sees_ahead="images",
    words=ImageWords(before="\n\n{begin}", after="{end}\n\n"),
    edge_keys=(("boi_token_index", 255_999), ("eoi_token_index", 256_000)),
    own_keys=("mm_tokens_per_image", "boi_token_index", "eoi_token_index"),
)

_PALIGEMMA = replace(
    _GEMMA,
    model_type="paligemma",
    text_types=("gemma", "gemma2"),
    text_defaults={"head_dim": 256},
    tokens_key=None,
    sees_ahead="prompt",
    words=ImageWords(),
    behind_head="softcap",
    prompt_words=("{bos}", "\n"),
    edge_keys=(),
    own_keys=("projection_dim",),
    releases={"gemma2": (5, 23)},  # earlier ones leave the soft cap of its scores out
)

_IDEFICS = replace(
    _LLAVA,
    model_type="idefics3",
    text_types=("llama",),
    tower_defaults={
        **{"hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 16},
        **{"image_size": 224, "patch_size": 32},
    },
    ties=False,
    tower="vision_model",
    projector="connector",
    keeps_states=False,
    shapes="squares",
    inputs={"pixel_values": "cuts", "pixel_attention_mask": "masks"},
    numbered_layers=(),
    crops=False,
    merge_key=("scale_factor", 2),
    count_keys=("image_seq_len",),
    words=ImageWords(
        before="<fake_token_around_image><global-img>",
        after="<fake_token_around_image>",
        square="<fake_token_around_image><row_{row}_col_{column}>",
        row_end="\n",
        squares_end="\n",
    ),
    token_keys=("image_token_id",),
    own_keys=("scale_factor",),
)

_INTERNVL = replace(
    _LLAVA,
    model_type="internvl",
    text_types=("qwen2", "llama", "qwen3"),
    text_defaults={},
    tower_defaults={
        **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        **{"image_size": 448, "patch_size": 14},
    },
    ties=True,
    shapes="crops",
    options={"crop_to_patches": True},
    inputs={"pixel_values": "pieces"},
    crops=False,
    tokens_key=("image_seq_length", 256),
    count_keys=("image_seq_length",),
    words=ImageWords(begin="<img>", after="</img>"),
    token_keys=("image_token_id",),
    own_keys=(
        *("image_seq_length", "downsample_ratio", "projector_hidden_act"),
        *("vision_feature_layer", "vision_feature_select_strategy"),
    ),
)

VISION_MODELS = (
    _LLAVA,
    replace(
        _LLAVA,
        model_type="llava_next",
        beside_projector=("image_newline",),
        shapes="tiles",
        inputs={"pixel_values": "tiles", "image_sizes": "sizes"},
        own_keys=(*_LLAVA.own_keys, "image_grid_pinpoints"),
    ),
    _QWEN,
    replace(
        _QWEN,
        model_type="qwen2_5_vl",
        text_types=("qwen2_5_vl_text",),
        text_as={"qwen2_5_vl_text": "qwen2"},
        width_key="hidden_size",
        inner_ratio_key=None,
        numbered_layers=("fullatt_block_indexes",),
    ),
    replace(
        _QWEN,
        model_type="qwen3_vl",
        text_types=("qwen3_vl_text",),
        text_as={"qwen3_vl_text": "qwen3"},
        text_defaults={"head_dim": 128},
        width_key="hidden_size",
        inner_ratio_key=None,
        numbered_layers=("deepstack_visual_indexes",),
    ),
    _GEMMA,
    replace(_IDEFICS, model_type="smolvlm"),
    _IDEFICS,
    _PALIGEMMA,
    _INTERNVL,
)
"""Every model that reads images."""

_BY_TYPE = {one.model_type: one for one in VISION_MODELS}


def vision_model(model_type: str) -> VisionModel | None:
    """What is known of a model type that reads images; None for one that reads text alone."""
    return _BY_TYPE.get(model_type)
