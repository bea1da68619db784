"""What a plan has to know of a model that reads images, with every fact as a field without a default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ftc.spec.architecture_card import BehindHead, Norm
from ftc.spec.module_names import ModelPart

__all__ = [
    "LEAST_RELEASE",
    "CropKeys",
    "ImageWords",
    "PixelForm",
    "TowerLayers",
    "VisionModel",
]

LEAST_RELEASE = (5, 23)
"""First release of transformers, (major, minor), that computes all these models as they were trained.

Before it a PaliGemma 2 has no soft cap of its scores; up to 5.14 image processors ask for torchvision.
"""
PixelForm = Literal["squares", "pieces", "tiles", "cuts", "masks", "patches", "grids", "sizes"]
"""What an input for images is, of I images:

- `squares`: (I, C, S, S) pixels of images as large as the tower reads.
- `pieces`: (N, C, S, S) of all N squares of all images.
- `tiles`: (I, N, C, S, S) of up to N squares of each image.
- `cuts`: (1, N, C, S, S) of all N squares of all images, and `masks`: (1, N, S, S) ones, for each of their pixels.
- `patches`: (P, D) numbers of the patches of all images, and `grids`: (I, 3) frames, rows and columns of each.
- `sizes`: (I, 2) height and width of each image itself.
"""


class CropKeys(NamedTuple):
    """What a processor calls crops that it takes of an elongated image beside the whole of it.

    Attributes:
        switch: Whether it takes them.
        least: Pixels of a crop's sides at the least.
        most: Crops of an image at the most.
        ratio: Longer side by shorter one from which on it takes them.
    """

    switch: str
    least: str
    most: str
    ratio: str


class ImageWords(NamedTuple):
    """What stands around an image's features in a text. `{begin}` and `{end}` are tokens of `VisionModel.edge_keys`.

    Attributes:
        begin: In front of all of an image.
        before: In front of the features of the whole image.
        after: Behind them.
        square: In front of the features of a square, which `{row}` and `{column}` count from 1.
        row_end: Behind a row of squares.
        squares_end: Behind the last row, in front of the whole image.
        cropped: In front of an image that is also read in crops, which stand behind the whole of it.
        crops: Between the whole and the first crop; empty where squares stand in front of the whole.
        next_crop: Between two crops.
    """

    begin: str = ""
    before: str = ""
    after: str = ""
    square: str = ""
    row_end: str = ""
    squares_end: str = ""
    cropped: str = ""
    crops: str = ""
    next_crop: str = ""

    def text(self, image: str, rows: int, columns: int, edges: tuple[str, str]) -> str:
        """An image's text, in which `image` stands once for the features of each square and once for those of all.

        Args:
            image: Text of the token for images.
            rows: Rows of squares or crops; 0 where an image isn't cut.
            columns: Those of each row.
            edges: Texts of the tokens that begin and end an image.
        """
        named = {"begin": edges[0], "end": edges[1]}
        whole = self.before.format(**named) + image + self.after.format(**named)
        if rows and self.crops:
            return self.cropped + whole + self.crops + self.next_crop.join([whole] * (rows * columns))
        squares = "".join(
            "".join(self.square.format(row=row + 1, column=column + 1) + image for column in range(columns))
            + self.row_end
            for row in range(rows)
        )
        end = self.squares_end if rows else ""
        return self.begin + squares + end + whole


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerLayers:
    """What the layers of a tower compute, as far as memory and time follow from it.

    Attributes:
        norm: How norms are computed; see `Architecture.norm`.
        normed_first: Whether a norm stands in front of the first layer, so that states between layers have its type.
        normed_last: Whether a norm stands behind the last layer, whose result the tower gives.
        holds_first: Whether what goes into the first layer stands until the last one is done.
        rotates: Whether one product gives queries, keys and values, and the first two are rotated in float32.
        gated: Whether a product of two halves stands in the feed-forward part.
        activation: Of the feed-forward part, where `vision_config` names none.
        scales: Whether what attention and feed-forward part give is multiplied by a learned vector each.
        learned_places: What places have beside or without rotation: a table that is added as it is, one that is
            interpolated in float32 for each image, or nothing.
        whole_token: Whether a token for all of an image stands beside its patches.
        windows: Key of `vision_config` with the side, in pixels, of windows within which patches attend in all layers
            but those that `numbered_layers` names, and its usual value; None where they attend to all of an image.
    """

    norm: Norm
    normed_first: bool
    normed_last: bool
    holds_first: bool
    rotates: bool
    gated: bool
    activation: str
    scales: bool
    learned_places: Literal["table", "interpolated", "none"]
    whole_token: bool
    windows: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionModel:
    """One model type.

    Attributes:
        model_type: As config.json calls it.
        text_types: Model types of its language model, the usual one first.
        text_as: Of those that transformers has another name for, the model type that has the same layers.
        text_defaults: Sizes of the language model that its `text_config` may leave out, as transformers takes them.
        tower_defaults: Sizes of the tower that its `vision_config` may leave out.
        ties: Whether one table turns tokens into vectors and vectors into scores where the outer configuration doesn't
            say; None where the inner one says it.
        tower: Name of the module that reads pixels.
        projector: Name of the module between tower and language model; it may lie in the tower.
        beside_projector: Further modules or weights that belong to the projector, by their own names.
        feature_modules: Modules of the tower that read features as the projector does, and no patches.
        width_key, layers_key: Keys of `vision_config` with the tower's width and the number of its layers.
        heads_key: That with the number of its attention heads.
        layers: What its layers compute.
        keeps_numbered: What stands of the layers that `numbered_layers` names until the tower is done: their states,
            features made of these, or nothing.
        all_states_until: Release of transformers, (major, minor), from which on the states behind the other layers are
            known not to stand until then, too; None where they never do.
        scales_embeddings: Whether the language model multiplies the vectors of tokens before images take their places.
        joins_features: Whether the features of images come apart, and are joined before they take their places.
        projector_copies: Tensors as large as the tower's states that stand at once as the projector puts these in
            another order: 2 where squares of them are joined step by step, 1 where they are pooled, else 0.
        projector_normed: Whether a norm of all states stands in front of its products.
        projector_products: Products of the projector: 2 where an activation stands between them, else 1.
        projected_key: Key of config.json, or else of `vision_config`, with the width of what its projector gives, and
            what transformers takes where it is left out; None where that is the language model's.
        inner_key: Key of `vision_config` with the width of its feed-forward part.
        inner_ratio_key: That with this width by the tower's, where there is no such key.
        shapes: What becomes of an image: it is made as large as the tower reads (`one`), keeps its shape and has a
            feature for each square of patches (`patches`), becomes tiles of the shape that suits it (`tiles`), is
            enlarged and cut into squares (`squares`), or is made of the shape of squares nearest to its own (`crops`).
        options: What its processor is asked for beside what its files say, as transformers' own does.
        crop_keys: What its processor calls crops beside the whole image, which a recipe may ask for; None where it
            takes none.
        inputs: What the model takes for images, by name: the memory trace makes stand-ins by it.
        numbered_layers: Keys of config.json, or else of `vision_config`, that name layers of the tower by number, so
            that none may be missing from the tower that the memory trace builds, and what transformers takes where
            one is left out.
        crops: Whether its processor cuts the middle out of an image, to `crop_size`; else it makes it of `size`.
        tokens_key: Key of config.json with the features of an image, where the projector pools patches, and their usual
            number; None elsewhere.
        merge_key: Key with the side of a square of patches that becomes one feature, and its usual value; None where
            each patch becomes one, or the tower says it.
        count_keys: Keys of the processor's files with the features of an image.
        marks: What the model calls its input that says where images stand, or the prompt; None where it has none.
        places_in_images: Whether a token of an image has a place in each direction, so that the language model rotates
            queries and keys of each row by its own.
        parts_by_runs: Whether the model counts images in a row by the runs of their token, so that two images need
            another token between them.
        features_as_tower: Whether transformers gives features the type of the tower's weights, and not that of tokens'
            vectors, among which it then can't put them where these have another one.
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
    """

    model_type: str
    text_types: tuple[str, ...]
    text_as: Mapping[str, str]
    text_defaults: Mapping[str, Any]
    tower_defaults: Mapping[str, int]
    ties: bool | None
    tower: str
    projector: str
    beside_projector: tuple[str, ...]
    feature_modules: tuple[str, ...]
    width_key: str
    layers_key: str
    heads_key: str
    layers: TowerLayers
    keeps_numbered: Literal["states", "features", "nothing"]
    all_states_until: tuple[int, int] | None
    scales_embeddings: bool
    joins_features: bool
    projector_copies: Literal[0, 1, 2]
    projector_normed: bool
    projector_products: Literal[1, 2]
    projected_key: tuple[str, int] | None
    inner_key: str
    inner_ratio_key: str | None
    shapes: Literal["one", "patches", "tiles", "squares", "crops"]
    options: Mapping[str, bool]
    crop_keys: CropKeys | None
    inputs: Mapping[str, PixelForm]
    numbered_layers: Mapping[str, tuple[int, ...]]
    crops: bool
    tokens_key: tuple[str, int] | None
    merge_key: tuple[str, int] | None
    count_keys: tuple[str, ...]
    marks: str | None
    places_in_images: bool
    parts_by_runs: bool
    features_as_tower: bool
    sees_ahead: Literal["none", "images", "prompt"]
    words: ImageWords
    behind_head: BehindHead
    prompt_words: tuple[str, str] | None
    edge_keys: tuple[tuple[str, int], ...]
    token_keys: tuple[str, ...]
    own_keys: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str]:
        """Modules beside the language model, which adapters never change."""
        return self.tower, self.projector

    @property
    def unquantized(self) -> tuple[str, ...]:
        """Modules that stay as they are where linear layers are quantized, as transformers names them."""
        return (*(f"model.{part}" for part in self.parts), "lm_head")

    def part_of(self, name: str) -> ModelPart:
        """The part that a weight or module lies in, by its name in a file or in memory."""
        parts = name.split(".")
        if not {self.projector, *self.beside_projector}.isdisjoint(parts):
            return "projector"
        return "vision_tower" if self.tower in parts else "language_model"

    def module_of(self, part: ModelPart) -> str:
        """The name of the module that a part beside the language model is."""
        return self.tower if part == "vision_tower" else self.projector

    def patterns(self, part: ModelPart, names: Iterable[str]) -> tuple[str, ...]:
        """Patterns that the names of a part's weights fit, and those of no other part.

        Args:
            part: Tower or projector.
            names: Of the weights that are stored.
        """
        if part == "projector":
            return self.projector, *self.beside_projector
        inside = [name.split(".") for name in names if self.tower in name.split(".")]
        if not any(self.projector in parts for parts in inside):
            return (self.tower,)
        children = {parts[parts.index(self.tower) + 1] for parts in inside} - {self.projector, *self.beside_projector}
        return tuple(f"{self.tower}.{child}" for child in sorted(children))
