"""Which models read images beside text, and what a plan has to know of them: one row a model type.

A model is a vision tower, a projector and a language model. In a row's tokens an image stands as often as it has
features, by the model's own token for images; the run puts the features in its place. Some models make every image as
large as their tower reads. Others keep its shape, so that it has as many features as fit its size, or cut it into
squares. Around the features some have words of their own, which transformers' processors write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ftc.spec.architecture_card import BehindHead

__all__ = [
    "LEAST_RELEASE",
    "PROCESSOR_FILES",
    "VISION_MODELS",
    "ImageWords",
    "PixelForm",
    "VisionModel",
    "vision_model",
]

PixelForm = Literal["squares", "tiles", "cuts", "masks", "patches", "grids", "sizes"]
"""What an input for images is, of I images:

- `squares`: (I, C, S, S) pixels of images as large as the tower reads.
- `tiles`: (I, N, C, S, S) of up to N squares of each image.
- `cuts`: (1, N, C, S, S) of all N squares of all images, and `masks`: (1, N, S, S) ones, for each of their pixels.
- `patches`: (P, D) numbers of the patches of all images, and `grids`: (I, 3) frames, rows and columns of each.
- `sizes`: (I, 2) height and width of each image itself.
"""

LEAST_RELEASE = (5, 4)
"""First release of transformers with image processors by Pillow alone, which all these models are read by."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how images become numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWords:
    """What stands around an image's features in a text. `{begin}` and `{end}` are tokens of `VisionModel.edge_keys`.

    Attributes:
        before: In front of the features of the whole image.
        after: Behind them.
        square: In front of the features of a square, which `{row}` and `{column}` count from 1.
        row_end: Behind a row of squares.
        squares_end: Behind the last row, in front of the whole image.
    """

    before: str = ""
    after: str = ""
    square: str = ""
    row_end: str = ""
    squares_end: str = ""

    def text(self, image: str, rows: int, columns: int, edges: tuple[str, str]) -> str:
        """An image's text, in which `image` stands once for the features of each square and once for those of all.

        Args:
            image: Text of the token for images.
            rows: Rows of squares; 0 where an image isn't cut.
            columns: Squares of each row.
            edges: Texts of the tokens that begin and end an image.
        """
        named = {"begin": edges[0], "end": edges[1]}
        squares = "".join(
            "".join(self.square.format(row=row + 1, column=column + 1) + image for column in range(columns))
            + self.row_end
            for row in range(rows)
        )
        end = self.squares_end if rows else ""
        return squares + end + self.before.format(**named) + image + self.after.format(**named)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionModel:
    """One model type.

    Attributes:
        model_type: As config.json calls it.
        text_types: Model types of its language model, the usual one first.
        text_as: Of those that transformers names anew, the model type that has the same layers.
        text_defaults: Sizes of the language model that its `text_config` may leave out, as transformers takes them.
        tower_defaults: Sizes of the tower that its `vision_config` may leave out.
        ties: Whether one table turns tokens into vectors and vectors into scores where the outer configuration doesn't
            say; None where the inner one says it.
        tower: Name of the module that reads pixels.
        projector: Name of the module between tower and language model; it may lie in the tower.
        width_key, layers_key: Keys of `vision_config` with the tower's width and the number of its layers.
        heads_key: That with the number of its attention heads.
        keeps_states: Whether the states behind each of the tower's layers stand until it is done, since
            `vision_feature_layer` may name any.
        inner_key: That with the width of its feed-forward part.
        inner_ratio_key: That with this width by the tower's, where there is no such key.
        shapes: What becomes of an image: it is made as large as the tower reads (`one`), keeps its shape and has a
            feature for each square of patches (`patches`), becomes tiles of the shape that suits it (`tiles`), or is
            enlarged and cut into squares (`squares`).
        inputs: What the model takes for images, by name: the memory trace makes stand-ins by it.
        numbered_layers: Keys of config.json or of `vision_config` that name layers of the tower by number, so that
            its layers can't stand for each other.
        crops: Whether its processor cuts the middle out of an image, to `crop_size`; else it makes it of `size`.
        tokens_key: Key of config.json with the features of an image, where the projector pools patches, and their usual
            number; None elsewhere.
        merge_key: Key with the side of a square of patches that becomes one feature, and its usual value; None where
            each patch becomes one, or the tower says it.
        count_keys: Keys of the processor's files with the features of an image.
        marks: What the model calls its input that says where images stand, or the prompt; None where it has none.
        sees_ahead: Which tokens see those behind them: none; those of an image, which `marks` has as ones; or the
            prompt, which it has as zeros.
        words: What stands around the features.
        behind_head: What the model does with its output layer's scores, by values of its inner configuration.
        prompt_words: What stands behind the images, `{bos}` being the tokenizer's first token, and behind the prompt,
            where no chat template wraps it and the answer is tokenized by itself; None where each image is a line in
            front of the prompt.
        edge_keys: Keys of config.json with the ids of the tokens that begin and end an image, of which a template
            writes the first for an image, and their usual ids; empty where it writes the token for images.
        token_keys: Keys of config.json with the id of the token for images, the usual one first.
        own_keys: Further keys of config.json, beside its two inner configurations, that decide what is built.
        releases: First release of transformers, (major, minor), that computes what the model was trained as, by the
            type of its language model; of others `LEAST_RELEASE`.
    """

    model_type: str
    text_types: tuple[str, ...]
    text_as: Mapping[str, str]
    text_defaults: Mapping[str, Any]
    tower_defaults: Mapping[str, int]
    ties: bool | None
    tower: str
    projector: str
    width_key: str
    layers_key: str
    heads_key: str
    keeps_states: bool
    inner_key: str
    inner_ratio_key: str | None
    shapes: Literal["one", "patches", "tiles", "squares"]
    inputs: Mapping[str, PixelForm]
    numbered_layers: tuple[str, ...]
    crops: bool
    tokens_key: tuple[str, int] | None
    merge_key: tuple[str, int] | None
    count_keys: tuple[str, ...]
    marks: str | None
    sees_ahead: Literal["none", "images", "prompt"]
    words: ImageWords
    behind_head: BehindHead
    prompt_words: tuple[str, str] | None
    edge_keys: tuple[tuple[str, int], ...]
    token_keys: tuple[str, ...]
    own_keys: tuple[str, ...]
    releases: Mapping[str, tuple[int, int]]

    def least_release(self, text_type: str) -> tuple[int, int]:
        """First release of transformers for a language model of this type."""
        return self.releases.get(text_type, LEAST_RELEASE)

    @property
    def parts(self) -> tuple[str, str]:
        """Modules beside the language model, which adapters never change."""
        return self.tower, self.projector


_QWEN = VisionModel(
    model_type="qwen2_vl",
    text_types=("qwen2_vl_text",),
    text_as={"qwen2_vl_text": "qwen2"},
    text_defaults={},
    tower_defaults={"num_heads": 16},
    ties=None,
    tower="visual",
    projector="merger",
    width_key="embed_dim",
    layers_key="depth",
    heads_key="num_heads",
    keeps_states=False,
    inner_key="intermediate_size",
    inner_ratio_key="mlp_ratio",
    shapes="patches",
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
    width_key="hidden_size",
    layers_key="num_hidden_layers",
    heads_key="num_attention_heads",
    keeps_states=True,
    inner_key="intermediate_size",
    inner_ratio_key=None,
    shapes="one",
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
    _GEMMA,
    replace(_IDEFICS, model_type="smolvlm"),
    _IDEFICS,
    _PALIGEMMA,
)
"""Every model that reads images."""

_BY_TYPE = {one.model_type: one for one in VISION_MODELS}


def vision_model(model_type: str) -> VisionModel | None:
    """What is known of a model type that reads images; None for one that reads text alone."""
    return _BY_TYPE.get(model_type)
