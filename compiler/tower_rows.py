"""What a vision tower reads of rows at once: patches, pixels, and the features that become of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["CHANNELS", "Read", "Rows", "read_at_once"]

CHANNELS = 3


class Rows(NamedTuple):
    """Rows that a model reads at once.

    Attributes:
        tokens: Of all of them.
        length: Of each.
        images: Of all of them; as many as rows have room for where none are known.
    """

    tokens: int
    length: int
    images: Sequence[ImageShape]


class Read(NamedTuple):
    """What a tower reads at once."""

    patches: int
    pairs: int
    """Of patches that attend to each other."""
    pixels: int
    """Numbers of all pixels."""
    given: int
    """The same with the room that a tensor has for tiles of images with fewer."""
    features: int
    """Tokens that images become."""


def read_at_once(vision: VisionFacts, rows: Rows) -> Read:
    """What a tower reads of rows at once: their images, or as many as they have room for where none are known."""
    return _known(vision, rows.images) if rows.images else _at_most(vision, rows.tokens, rows.length)


def _known(vision: VisionFacts, images: Sequence[ImageShape]) -> Read:
    if vision.grid is not None:
        each = [image.height * image.width // vision.patch_size**2 for image in images]
        return _of_patches(vision, sum(each), max(each))
    padded = len(images) * max(image.squares for image in images)  # a tensor has as many tiles of each image
    squares = sum(image.squares for image in images)
    tokens = sum(image.tokens for image in images)
    return _of_squares(vision, squares, squares if vision.tiles is None else padded, tokens)


def _at_most(vision: VisionFacts, tokens: int, length: int) -> Read:
    if vision.grid is not None:
        merged = vision.grid.merge**2
        return _of_patches(vision, tokens * merged, min(length, vision.tokens_per_image) * merged)
    least, tiles = vision.tokens_per_image, 1
    if vision.tiles is not None:
        least, tiles = (vision.image_size // vision.patch_size) ** 2, vision.tiles.most
    if vision.squares is not None:  # of which the least image is one
        least = vision.squares.each(vision.patch_size)
    if (cut := vision.crops or vision.pans) is not None:
        least = cut.each
    squares = tokens // max(1, length) * (length // least) * tiles
    return _of_squares(vision, squares, squares, tokens)


def _of_squares(vision: VisionFacts, squares: int, padded: int, tokens: int) -> Read:
    """Squares as large as the tower reads, among as many as their tensor has room for."""
    patches, pixels = (vision.image_size // vision.patch_size) ** 2, CHANNELS * vision.image_size**2
    own = patches + vision.card.layers.whole_token
    # Tiles are put together, and lose their borders, behind the projector.
    features = squares * patches if vision.tiles is not None else tokens
    return Read(squares * own, squares * own**2, squares * pixels, padded * pixels, features)


def _of_patches(vision: VisionFacts, patches: int, largest: int) -> Read:
    """Patches of images that keep their shape, of which the largest has so many; they attend one after the other."""
    assert vision.grid is not None, "images keep their shape"
    pixels = patches * vision.grid.frames * CHANNELS * vision.patch_size**2
    return Read(patches, largest**2, pixels, pixels, patches // vision.grid.merge**2)
