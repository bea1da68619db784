"""Which models read images beside text, and what a plan has to know of them: one row a model type.

A model is a vision tower, a projector and a language model. In a row's tokens an image stands as often as it has
features, by the model's own token for images; the run puts the features in its place. Some models make every image as
large as their tower reads. Others keep its shape, so that it has as many features as fit its size, or cut it into
squares. Around the features some have words of their own, which transformers' processors write.
"""

from __future__ import annotations

from dataclasses import replace

from ftc.spec.vision_card import CropKeys, ImageWords, TowerLayers, VisionModel

__all__ = ["PROCESSOR_FILES", "VISION_MODELS", "vision_model"]

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how images become numbers."""

_QWEN_LAYERS = TowerLayers(
    norm="fused",
    normed_first=False,
    normed_last=False,
    holds_first=False,
    rotates=True,
    gated=False,
    activation="quick_gelu",
    scales=False,
    learned_places="none",
    whole_token=False,
    windows=None,
)
_CLIP_LAYERS = TowerLayers(
    norm="fused",
    normed_first=True,
    normed_last=False,
    holds_first=True,
    rotates=False,
    gated=False,
    activation="quick_gelu",
    scales=False,
    learned_places="table",
    whole_token=True,
    windows=None,
)
_SIGLIP_LAYERS = replace(
    _CLIP_LAYERS, normed_first=False, normed_last=True, activation="gelu_pytorch_tanh", whole_token=False
)

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
    feature_modules=(),
    width_key="embed_dim",
    layers_key="depth",
    heads_key="num_heads",
    layers=_QWEN_LAYERS,
    keeps_numbered="nothing",
    all_states_until=None,
    scales_embeddings=False,
    joins_features=True,
    projector_copies=0,
    projector_normed=True,
    projector_products=2,
    projected_key=("hidden_size", 3584),
    inner_key="intermediate_size",
    inner_ratio_key="mlp_ratio",
    shapes="patches",
    options={},
    crop_keys=None,
    inputs={"pixel_values": "patches", "image_grid_thw": "grids"},
    numbered_layers={},
    crops=False,
    tokens_key=None,
    merge_key=None,
    count_keys=(),
    marks="mm_token_type_ids",
    places_in_images=True,
    parts_by_runs=True,
    features_as_tower=False,
    sees_ahead="none",
    words=ImageWords(),
    behind_head="nothing",
    prompt_words=None,
    edge_keys=(),
    token_keys=("image_token_id",),
    own_keys=("video_token_id", "vision_start_token_id", "vision_end_token_id"),
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
    feature_modules=(),
    width_key="hidden_size",
    layers_key="num_hidden_layers",
    heads_key="num_attention_heads",
    layers=_CLIP_LAYERS,
    keeps_numbered="states",
    all_states_until=(5, 24),
    scales_embeddings=False,
    joins_features=True,
    projector_copies=0,
    projector_normed=False,
    projector_products=2,
    projected_key=None,
    inner_key="intermediate_size",
    inner_ratio_key=None,
    shapes="one",
    options={},
    crop_keys=None,
    inputs={"pixel_values": "squares"},
    numbered_layers={"vision_feature_layer": (-2,)},
    crops=True,
    tokens_key=None,
    merge_key=None,
    count_keys=(),
    marks=None,
    places_in_images=False,
    parts_by_runs=False,
    features_as_tower=False,
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
)

_GEMMA = replace(
    _LLAVA,
    model_type="gemma3",
    layers=_SIGLIP_LAYERS,
    numbered_layers={},
    keeps_numbered="nothing",
    all_states_until=None,
    scales_embeddings=True,
    joins_features=False,
    projector_copies=1,
    projector_products=1,
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
    parts_by_runs=False,
    features_as_tower=False,
    sees_ahead="images",
    inputs={"pixel_values": "pieces"},
    crop_keys=CropKeys(
        switch="do_pan_and_scan",
        least="pan_and_scan_min_crop_size",
        most="pan_and_scan_max_num_crops",
        ratio="pan_and_scan_min_ratio_to_activate",
    ),
    words=ImageWords(
        before="\n\n{begin}",
        after="{end}\n\n",
        cropped="Here is the original image ",
        crops=" and here are some crops to help you see better ",
        next_crop=" ",
    ),
    edge_keys=(("boi_token_index", 255_999), ("eoi_token_index", 256_000)),
    own_keys=("mm_tokens_per_image", "boi_token_index", "eoi_token_index"),
)

_PALIGEMMA = replace(
    _GEMMA,
    model_type="paligemma",
    projector_copies=0,
    projected_key=("projection_dim", 2048),
    text_types=("gemma", "gemma2"),
    text_defaults={"head_dim": 256},
    inputs={"pixel_values": "squares"},
    crop_keys=None,
    tokens_key=None,
    sees_ahead="prompt",
    words=ImageWords(),
    behind_head="softcap",
    prompt_words=("{bos}", "\n"),
    edge_keys=(),
    own_keys=("projection_dim",),
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
    layers=_SIGLIP_LAYERS,
    keeps_numbered="nothing",
    all_states_until=None,
    projector_copies=2,
    projector_products=1,
    shapes="squares",
    inputs={"pixel_values": "cuts", "pixel_attention_mask": "masks"},
    numbered_layers={},
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
    layers=replace(_CLIP_LAYERS, normed_first=False, activation="gelu", scales=True),
    joins_features=False,
    projector_copies=2,
    projector_normed=True,
    shapes="crops",
    options={"crop_to_patches": True},
    inputs={"pixel_values": "pieces"},
    numbered_layers={"vision_feature_layer": (-1,)},
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
        layers=replace(_QWEN_LAYERS, norm="composed", gated=True, activation="silu", windows=("window_size", 112)),
        text_types=("qwen2_5_vl_text",),
        text_as={"qwen2_5_vl_text": "qwen2"},
        width_key="hidden_size",
        projected_key=("out_hidden_size", 3584),
        inner_ratio_key=None,
        numbered_layers={"fullatt_block_indexes": (7, 15, 23, 31)},
    ),
    replace(
        _QWEN,
        model_type="qwen3_vl",
        layers=replace(_QWEN_LAYERS, activation="gelu_pytorch_tanh", learned_places="interpolated"),
        keeps_numbered="features",
        feature_modules=("deepstack_merger_list",),
        text_types=("qwen3_vl_text",),
        text_as={"qwen3_vl_text": "qwen3"},
        text_defaults={"head_dim": 128},
        width_key="hidden_size",
        projected_key=("out_hidden_size", 3584),
        inner_ratio_key=None,
        numbered_layers={"deepstack_visual_indexes": (8, 16, 24)},
    ),
    _GEMMA,
    replace(_IDEFICS, model_type="smolvlm", features_as_tower=True),
    _IDEFICS,
    _PALIGEMMA,
    _INTERNVL,
)
"""Every model that reads images."""

_BY_TYPE = {one.model_type: one for one in VISION_MODELS}


def vision_model(model_type: str) -> VisionModel | None:
    """What is known of a model type that reads images; None for one that reads text alone."""
    return _BY_TYPE.get(model_type)
