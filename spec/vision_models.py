"""Which models read images beside text, and what a plan has to know of them: one row a model type.

A model is a vision tower, a projector and a language model. In a row's tokens an image stands as often as it has
features, by the model's own token for images; the run puts the features in its place. Some models make every image as
large as their tower reads. Others keep its shape, so that it has as many features as fit its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["PROCESSOR_FILES", "VISION_MODELS", "PixelForm", "VisionModel", "vision_model"]

PixelForm = Literal["squares", "tiles", "patches", "grids", "sizes", "row squares", "row mask"]
"""What an input for images is, of I images or of B rows:

- `squares`: (I, C, S, S) pixels of images as large as the tower reads.
- `tiles`: (I, N, C, S, S) of up to N squares of each image.
- `patches`: (P, D) numbers of the patches of all images, and `grids`: (I, 3) frames, rows and columns of each.
- `sizes`: (I, 2) height and width of each image itself.
- `row squares`: (B, N, C, S, S) of up to N squares of each row, and `row mask`: (B, N, S, S) ones where pixels are.
"""

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how images become numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionModel:
    """One model type.

    Attributes:
        model_type: As config.json calls it.
        text_types: Model types of its language model, the usual one first.
        text_as: Of those that transformers names anew, the model type that has the same layers.
        text_defaults: Sizes of the language model that its `text_config` may leave out, as transformers takes them.
        tower: Name of the module that reads pixels.
        projector: Name of the module between tower and language model; it may lie in the tower.
        width_key, layers_key: Keys of `vision_config` with the tower's width and the number of its layers.
        inner_key: That with the width of its feed-forward part.
        inner_ratio_key: That with this width by the tower's, where there is no such key.
        shapes: What becomes of an image: it is made as large as the tower reads (`one`), keeps its shape and has a
            feature for each square of patches (`patches`), or becomes tiles (`tiles`).
        inputs: What the model takes for images, by name: the memory trace makes stand-ins by it.
        numbered_layers: Keys of config.json or of `vision_config` that name layers of the tower by number, so that
            its layers can't stand for each other.
        marks: What the model calls its input that is one where an image stands; None where it has none.
        token_keys: Keys of config.json with the id of the token for images, the usual one first.
        own_keys: Further keys of config.json, beside its two inner configurations, that decide what is built.
    """

    model_type: str
    text_types: tuple[str, ...]
    text_as: Mapping[str, str]
    text_defaults: Mapping[str, Any]
    tower: str
    projector: str
    width_key: str
    layers_key: str
    inner_key: str
    inner_ratio_key: str | None
    shapes: Literal["one", "patches", "tiles"]
    inputs: Mapping[str, PixelForm]
    numbered_layers: tuple[str, ...]
    marks: str | None
    token_keys: tuple[str, ...]
    own_keys: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str]:
        """Modules beside the language model, which adapters never change."""
        return self.tower, self.projector


_QWEN = VisionModel(
    model_type="qwen2_vl",
    text_types=("qwen2_vl_text",),
    text_as={"qwen2_vl_text": "qwen2"},
    text_defaults={},
    tower="visual",
    projector="merger",
    width_key="embed_dim",
    layers_key="depth",
    inner_key="intermediate_size",
    inner_ratio_key="mlp_ratio",
    shapes="patches",
    inputs={"pixel_values": "patches", "image_grid_thw": "grids"},
    numbered_layers=(),
    marks="mm_token_type_ids",
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
    tower="vision_tower",
    projector="multi_modal_projector",
    width_key="hidden_size",
    layers_key="num_hidden_layers",
    inner_key="intermediate_size",
    inner_ratio_key=None,
    shapes="one",
    inputs={"pixel_values": "squares"},
    numbered_layers=("vision_feature_layer",),
    marks=None,
    token_keys=("image_token_index", "image_token_id"),
    own_keys=(
        "multimodal_projector_bias",
        "projector_hidden_act",
        "vision_feature_layer",
        "vision_feature_select_strategy",
    ),
)

VISION_MODELS = (
    _LLAVA,
    replace(
        _LLAVA,
        model_type="llava_next",
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
)
"""Every model that reads images."""

_BY_TYPE = {one.model_type: one for one in VISION_MODELS}


def vision_model(model_type: str) -> VisionModel | None:
    """What is known of a model type that reads images; None for one that reads text alone."""
    return _BY_TYPE.get(model_type)
