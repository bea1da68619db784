"""What a plan has to know of a model that reads images, with every fact as a field without a default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftc.spec.architecture_card import BehindHead

__all__ = ["LEAST_RELEASE", "ImageWords", "ModelPart", "PixelForm", "VisionModel"]

LEAST_RELEASE = (5, 4)
"""First release of transformers with image processors by Pillow alone, which all these models are read by."""
ModelPart = Literal["vision_tower", "projector", "language_model"]
"""Parts of a model that reads images."""
PixelForm = Literal["squares", "pieces", "tiles", "cuts", "masks", "patches", "grids", "sizes"]
"""What an input for images is, of I images:

- `squares`: (I, C, S, S) pixels of images as large as the tower reads.
- `pieces`: (N, C, S, S) of all N squares of all images.
- `tiles`: (I, N, C, S, S) of up to N squares of each image.
- `cuts`: (1, N, C, S, S) of all N squares of all images, and `masks`: (1, N, S, S) ones, for each of their pixels.
- `patches`: (P, D) numbers of the patches of all images, and `grids`: (I, 3) frames, rows and columns of each.
- `sizes`: (I, 2) height and width of each image itself.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWords:
    """What stands around an image's features in a text. `{begin}` and `{end}` are tokens of `VisionModel.edge_keys`.

    Attributes:
        begin: In front of all of an image.
        before: In front of the features of the whole image.
        after: Behind them.
        square: In front of the features of a square, which `{row}` and `{column}` count from 1.
        row_end: Behind a row of squares.
        squares_end: Behind the last row, in front of the whole image.
    """

    begin: str = ""
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
        return self.begin + squares + end + self.before.format(**named) + image + self.after.format(**named)


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
        width_key, layers_key: Keys of `vision_config` with the tower's width and the number of its layers.
        heads_key: That with the number of its attention heads.
        keeps_states: Whether the states behind each of the tower's layers stand until it is done, since
            `vision_feature_layer` may name any.
        inner_key: That with the width of its feed-forward part.
        inner_ratio_key: That with this width by the tower's, where there is no such key.
        shapes: What becomes of an image: it is made as large as the tower reads (`one`), keeps its shape and has a
            feature for each square of patches (`patches`), becomes tiles of the shape that suits it (`tiles`), is
            enlarged and cut into squares (`squares`), or is made of the shape of squares nearest to its own (`crops`).
        options: What its processor is asked for beside what its files say, as transformers' own does.
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
    beside_projector: tuple[str, ...]
    width_key: str
    layers_key: str
    heads_key: str
    keeps_states: bool
    inner_key: str
    inner_ratio_key: str | None
    shapes: Literal["one", "patches", "tiles", "squares", "crops"]
    options: Mapping[str, bool]
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
