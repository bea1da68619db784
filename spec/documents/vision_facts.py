"""What reads images in a model, and how many tokens an image has by its size."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.vision_card import VisionModel
from ftc.spec.vision_models import vision_model

__all__ = ["CropCuts", "Features", "PanCuts", "PatchGrid", "SquareCuts", "TileSizes", "VisionFacts"]


class Features(NamedTuple):
    """What an image becomes in a row of tokens."""

    rows: int
    """Rows of squares that are read beside the whole image; 0 where none are."""
    columns: int
    """Squares of each row."""
    each: int
    """Tokens of the whole image, and of each square."""

    @property
    def tokens(self) -> int:
        """Tokens of all."""
        return (self.rows * self.columns + 1) * self.each


class PatchGrid(Document):
    """How an image that keeps its shape becomes patches."""

    merge: int
    """Patches on each side of a square that becomes one token."""
    frames: int
    """Copies of an image that are read as one."""
    least_pixels: int
    """Pixels that an image is enlarged to at the least, by its processor's file."""
    most_pixels: int
    """Pixels that it has at the most; larger ones are made smaller."""

    def most_tokens(self, patch_size: int) -> int:
        """Tokens of the largest image, by the side of a patch in pixels."""
        return self.most_pixels // (patch_size * self.merge) ** 2

    def resized(self, width: int, height: int, patch_size: int) -> tuple[int, int]:
        """(height, width) of an image in pixels, as transformers resizes it.

        Raises:
            ValueError: It is more than 200 times as long as wide.
        """
        if max(width, height) > 200 * min(width, height):
            raise ValueError("it is more than 200 times as long as wide")
        side = patch_size * self.merge
        high, wide = (round(one / side) * side for one in (height, width))
        if high * wide > self.most_pixels:
            scale = math.sqrt(height * width / self.most_pixels)
            high, wide = (max(side, math.floor(one / scale / side) * side) for one in (height, width))
        elif high * wide < self.least_pixels:
            scale = math.sqrt(self.least_pixels / (height * width))
            high, wide = (math.ceil(one * scale / side) * side for one in (height, width))
        return high, wide

    def tokens(self, width: int, height: int, patch_size: int) -> int:
        """Tokens of an image by its sides in pixels.

        Raises:
            ValueError: It is more than 200 times as long as wide.
        """
        high, wide = self.resized(width, height, patch_size)
        return high * wide // (patch_size * self.merge) ** 2


class TileSizes(Document):
    """How an image becomes tiles as large as the tower reads, beside the whole of it as one more."""

    tile: int
    """Width and height of a tile in pixels."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of all tiles together that an image may have; the one that loses least is taken."""

    @property
    def most(self) -> int:
        """Tiles of the largest size, with the whole image."""
        return max((height // self.tile) * (width // self.tile) for height, width in self.sizes) + 1

    def most_tokens(self, patch_size: int) -> int:
        """Tokens of an image that no border is cut off from, by the side of a patch in pixels."""
        side = self.tile // patch_size
        whole = ((height // self.tile * side, width // self.tile * side) for height, width in self.sizes)
        return max(height * width + height for height, width in whole) + side**2

    def tokens(self, width: int, height: int, patch_size: int) -> int:
        """Tokens of an image by its sides in pixels: the whole, and rows of tiles without borders, each with an end."""
        high, wide = self._best(width, height)
        side = self.tile // patch_size
        rows, columns = high // self.tile * side, wide // self.tile * side
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        return rows * columns + rows + side**2

    def parts(self, width: int, height: int) -> int:
        """Squares that an image becomes by its sides in pixels, the whole of it as one more."""
        high, wide = self._best(width, height)
        return (high // self.tile) * (wide // self.tile) + 1

    def _best(self, width: int, height: int) -> tuple[int, int]:
        """The size in which most pixels of an image are kept, and of these the one that wastes least."""

        def kept(size: tuple[int, int]) -> tuple[int, int]:
            scale = min(size[1] / width, size[0] / height)
            effective = min(int(width * scale) * int(height * scale), width * height)
            return effective, effective - size[0] * size[1]

        return max(self.sizes, key=kept)


class SquareCuts(Document):
    """How an image is enlarged and cut into squares as large as the tower reads, beside the whole of it as one more."""

    side: int
    """Width and height of a square in pixels."""
    longest: int
    """Pixels that the longer side of an image is made to have before it is cut."""
    splits: bool
    """Whether it is cut; else the whole image is all that is read."""
    merge: int
    """Patches on each side of those that become one token."""

    @property
    def most(self) -> int:
        """Squares of the largest image, with the whole of it."""
        across = -(-min(self.longest + self.longest % 2, _LARGEST_SIDE) // self.side)
        return across**2 + 1 if self.splits and across > 1 else 1

    def each(self, patch_size: int) -> int:
        """Tokens of a square."""
        return (self.side // patch_size // self.merge) ** 2

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of squares of an image by its sides in pixels, as transformers resizes it; 0 of each where
        the whole of it is all that is read.
        """
        if not self.splits:
            return 0, 0
        wide, high = _scaled(width, height, self.longest, is_even=True)
        if max(wide, high) > _LARGEST_SIDE:
            wide, high = _scaled(wide, high, _LARGEST_SIDE, is_even=False)
        ratio, side = wide / high, self.side
        if wide >= high:
            columns = -(-wide // side)
            rows = -(-int(columns * side / ratio) // side)
        else:
            rows = -(-high // side)
            columns = -(-int(rows * side * ratio) // side)
        return (rows, columns) if rows > 1 or columns > 1 else (0, 0)


class CropCuts(Document):
    """How an image is made of the shape of squares that is nearest to its own, beside the whole of it as one more."""

    side: int
    """Width and height of a square in pixels."""
    least: int
    """Squares that it is cut into at the least, by its processor's file."""
    cuts: int
    """Squares at the most."""
    each: int
    """Tokens of a square."""

    @property
    def most(self) -> int:
        """Squares of an image at the most, with the whole of it."""
        return self.cuts + 1 if self.cuts > 1 else 1

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of squares of an image by its sides in pixels, as transformers finds them; 0 of each where
        the whole of it is all that is read.
        """
        sides = range(1, self.cuts + 1)
        shapes = [(wide, high) for wide in sides for high in sides if self.least <= wide * high <= self.cuts]
        ratio, area, best, nearest = width / height, width * height, (1, 1), math.inf
        for wide, high in sorted(shapes, key=math.prod):
            apart = abs(ratio - wide / high)
            if apart < nearest or (apart == nearest and area > 0.5 * self.side**2 * wide * high):
                best, nearest = (wide, high), apart
        return (best[1], best[0]) if best != (1, 1) else (0, 0)


class PanCuts(Document):
    """How an elongated image is cut along its longer side into crops, which are read behind the whole of it."""

    least: int
    """Pixels of a crop's sides at the least."""
    cuts: int
    """Crops at the most."""
    ratio: Real
    """Longer side by shorter one from which on an image is cut."""
    each: int
    """Tokens of the whole image, and of each crop."""

    @property
    def most(self) -> int:
        """Parts of an image at the most, with the whole of it."""
        return self.cuts + 1

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of crops of an image by its sides in pixels, as transformers finds them; 0 of each where the
        whole of it is all that is read.
        """
        longer, shorter = max(width, height), min(width, height)
        if longer / shorter < self.ratio:
            return 0, 0
        count = min(longer // self.least, math.floor(longer / shorter + 0.5))
        count = min(self.cuts, max(2, count))
        if min(-(-longer // count), shorter) < self.least:
            return 0, 0
        return (1, count) if width >= height else (count, 1)


_LARGEST_SIDE = 4096
"""Pixels of a side that transformers' processors of squares never exceed."""


def _scaled(width: int, height: int, longest: int, *, is_even: bool) -> tuple[int, int]:
    """Width and height with so long a longer side; the shorter one is cut off to whole, or even, pixels."""
    ratio = width / height
    shorter = int(longest / ratio) if width >= height else int(longest * ratio)
    shorter = max(1, shorter + (shorter % 2 if is_even else 0))
    return (longest, shorter) if width >= height else (shorter, longest)


class VisionFacts(Document):
    """What reads images in a model that does, as its config.json describes it."""

    model_type: str
    """`model_type` in config.json, such as `llava`; that of `ModelFacts` is its language model's."""
    image_token_id: int
    """Token that stands in a row for each feature of an image."""
    image_size: int
    """Width and height, in pixels, that the tower reads; 0 where an image keeps its shape."""
    patch_size: int
    """Width and height of a patch in pixels."""
    tokens_per_image: int
    """Tokens of an image in a row, without words around it; at the most, where its size decides."""
    grid: PatchGrid | None = None
    """How it becomes patches where it keeps its shape; None elsewhere."""
    tiles: TileSizes | None = None
    """How it becomes tiles, where the tower reads it in several; None elsewhere."""
    crops: CropCuts | None = None
    """How it is cut into squares, where none has words of its own; None elsewhere."""
    pans: PanCuts | None = None
    """How it is cut into crops, where the recipe asks for them; None elsewhere."""
    squares: SquareCuts | None = None
    """How it is cut into squares, where words stand around each of them; None elsewhere."""
    edges: tuple[int, int] | None = None
    """Tokens that begin and end an image, of which a template writes the first for it; None where it writes the token
    for images.
    """
    hidden_size: int
    """Width of the tower."""
    intermediate_size: int
    """Width of its feed-forward part."""
    num_layers: int
    """Its layers."""
    num_heads: int
    """Attention heads of each."""
    keeps_states: bool = False
    """Whether the installed transformers keeps the states behind all layers of the tower until it is done."""
    config: dict[str, Any] = Field(default={})
    """What the whole config.json says about the model's form; the memory trace builds by it."""

    pixels_sha256: str | None = None
    """Digest of what the model's processor makes of the first images; None where it wasn't asked."""
    pixels_problem: str = ""
    """Why it wasn't asked."""

    def features(self, width: int, height: int) -> Features:
        """What an image becomes by its sides in pixels.

        Raises:
            ValueError: The model's processor takes none of that shape.
        """
        if self.squares is not None:
            return Features(*self.squares.shape(width, height), self.squares.each(self.patch_size))
        if self.crops is not None:
            return Features(*self.crops.shape(width, height), self.crops.each)
        if self.pans is not None:
            return Features(*self.pans.shape(width, height), self.pans.each)
        if (shapes := self.grid or self.tiles) is None:
            return Features(0, 0, self.tokens_per_image)
        return Features(0, 0, shapes.tokens(width, height, self.patch_size))

    def panned(self, pans: PanCuts) -> VisionFacts:
        """The same where elongated images are cut into crops."""
        return self.model_copy(update={"pans": pans, "tokens_per_image": pans.most * pans.each})

    def shape(self, width: int, height: int) -> ImageShape:
        """An image as the tower reads it, by its sides in pixels.

        Raises:
            ValueError: The model's processor takes none of that shape.
        """
        found = self.features(width, height)
        if self.grid is not None:
            high, wide = self.grid.resized(width, height, self.patch_size)
            return ImageShape(height=high, width=wide, squares=0, tokens=found.tokens)
        if self.tiles is not None:
            squares = self.tiles.parts(width, height)
            return ImageShape(height=height, width=width, squares=squares, tokens=found.tokens)
        side, squares = self.image_size, found.rows * found.columns + 1
        return ImageShape(height=side, width=side, squares=squares, tokens=found.tokens)

    @property
    def numbered(self) -> tuple[tuple[int, ...], ...]:
        """The layers that the configuration names by number, for each key that names some, as it names them."""
        tower: dict[str, Any] = self.config.get("vision_config") or {}
        found = []
        for key, usual in self.card.numbered_layers.items():
            said = (self.config if key in self.card.own_keys else tower).get(key, usual)
            found.append(tuple(said) if isinstance(said, list | tuple) else (said,))
        return tuple(found)

    @cached_property
    def windows(self) -> tuple[int, frozenset[int]] | None:
        """Patches of a side of the windows within which layers attend, and the numbers of these layers; None where all
        attend to all of an image.
        """
        if self.card.layers.windows is None or self.grid is None:
            return None
        key, usual = self.card.layers.windows
        tower: dict[str, Any] = self.config.get("vision_config") or {}
        side = int(tower.get(key, usual)) // (self.patch_size * self.grid.merge) * self.grid.merge
        (everywhere,) = self.numbered
        return max(side, self.grid.merge), frozenset(range(self.num_layers)).difference(everywhere)

    @property
    def last_used_layer(self) -> int:
        """Number of the last layer whose states the model uses; those behind it have no gradients."""
        if self.card.keeps_numbered != "states":
            return self.num_layers - 1
        states = self.num_layers + 1  # what goes into the first layer is number 0
        return max(one % states for named in self.numbered for one in named) - 1

    @property
    def kept_numbers(self) -> int:
        """Layers that are named by number and whose states or features stand until the tower is done.

        Of states those that stand at the end in any case are left out: what goes into the last layer and comes out of
        it, and what goes into the first one where that is held.
        """
        states = self.num_layers + 1  # what goes into the first layer is number 0
        if self.card.keeps_numbered != "states":
            return len({one for named in self.numbered for one in named if 0 <= one < self.num_layers})
        anyway = {states - 1, states - 2, *([0] if self.card.layers.holds_first else [])}
        return len({one % states for named in self.numbered for one in named if -states <= one < states} - anyway)

    @property
    def card(self) -> VisionModel:
        """What is known of the model type."""
        known = vision_model(self.model_type)
        assert known is not None, "facts are read of known model types alone"
        return known

    @property
    def parts(self) -> tuple[str, ...]:
        """Modules beside the language model, by name."""
        return self.card.parts
