"""Which models read images beside text, and what a plan has to know of them: one row a model type.

A model is a vision tower, a projector and a language model. In a row's tokens an image stands as often as it has
features, by the model's own token for images; the run puts the features in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PROCESSOR_FILES", "VISION_MODELS", "VisionModel", "vision_model"]

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how images become numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionModel:
    """One model type.

    Attributes:
        model_type: As config.json calls it.
        text_types: Model types of its language model.
        text_defaults: Sizes of the language model that its `text_config` may leave out, as transformers takes them.
        tower: Name of the module that reads pixels.
        projector: Name of the module between tower and language model.
        token_keys: Keys of config.json with the id of the token for images, the usual one first.
        own_keys: Further keys of config.json, beside its two inner configurations, that decide what is built.
    """

    model_type: str
    text_types: tuple[str, ...]
    text_defaults: Mapping[str, Any]
    tower: str
    projector: str
    token_keys: tuple[str, ...]
    own_keys: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str]:
        """Modules beside the language model, which adapters never change."""
        return self.tower, self.projector


VISION_MODELS = (
    VisionModel(
        model_type="llava",
        text_types=("llama", "mistral", "qwen2"),
        text_defaults={
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
        },
        tower="vision_tower",
        projector="multi_modal_projector",
        token_keys=("image_token_index", "image_token_id"),
        own_keys=(
            "multimodal_projector_bias",
            "projector_hidden_act",
            "vision_feature_layer",
            "vision_feature_select_strategy",
        ),
    ),
)
"""Every model that reads images."""

_BY_TYPE = {one.model_type: one for one in VISION_MODELS}


def vision_model(model_type: str) -> VisionModel | None:
    """What is known of a model type that reads images; None for one that reads text alone."""
    return _BY_TYPE.get(model_type)
