"""What a vision tower holds while it reads the images of a batch, from shapes alone.

Nothing of a frozen one is kept for a way back. At its largest moment there are the pixels, the states that go into a
layer, or those behind each layer where a model may use any, and what one layer makes on its way, with its scores where
attention holds them; behind it, the images in the language model's width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["image_bytes", "kept_image_bytes", "vision_weights"]

_CHANNELS, _FP32, _INT64 = 3, 4, 8


class _Read(NamedTuple):
    """What a tower reads at once."""

    patches: int
    pairs: int
    """Of patches that attend to each other."""
    numbers: int
    """Of all pixels."""
    masks: int
    """Bytes of masks of pixels."""


def image_bytes(
    vision: VisionFacts,
    images: Sequence[ImageShape],
    tokens: int,
    length: int,
    hidden_size: int,
    operand: int,
    *,
    eager: bool,
) -> int:
    """Bytes at the largest moment of the images of a batch, or of as many as have room in rows.

    Args:
        vision: The tower.
        images: Of all rows that are read at once; none where they aren't known.
        tokens: Of all these rows.
        length: Of each.
        hidden_size: Width of the language model.
        operand: Bytes of a number.
        eager: Whether attention holds its scores.
    """
    patches, pairs, numbers, masks = _known(vision, images) if images else _at_most(vision, tokens, length)
    states = (vision.num_layers + 1 if vision.card.keeps_states else 1) * vision.hidden_size
    attention, feed_forward = 5 * vision.hidden_size, vision.hidden_size + 2 * vision.intermediate_size
    behind = states + 3 * hidden_size  # two layers of the projector with what stands between them
    scores = vision.num_heads * pairs if eager else 0
    each = 2 * _FP32 + (operand if operand < _FP32 else 0)  # into softmax and out of it, and as the product gave them
    attending = patches * operand * (states + attention) + scores * each
    feeding = patches * operand * (states + feed_forward) + scores * operand  # their result stands until a layer ends
    return masks + numbers * (_FP32 + operand) + max(attending, feeding, patches * operand * behind)


def kept_image_bytes(
    vision: VisionFacts,
    frozen: Collection[str],
    images: Sequence[ImageShape],
    tokens: int,
    length: int,
    hidden_size: int,
    operand: int,
    residual: int,
    *,
    recomputes: bool,
) -> int:
    """Bytes that the backward pass needs of parts that are trained; 0 where all of them are frozen.

    Args:
        vision: The tower.
        frozen: Names of modules that aren't trained.
        images: Of all rows that are read at once; none where they aren't known.
        tokens: Of all these rows.
        length: Of each.
        hidden_size: Width of the language model.
        operand: Bytes of a number of products.
        residual: Bytes of a number between layers.
        recomputes: Whether layers are computed again in the backward pass.
    """
    patches = (_known(vision, images) if images else _at_most(vision, tokens, length)).patches
    width, inner, card = vision.hidden_size, vision.intermediate_size, vision.card
    kept = 0
    if card.tower not in frozen:
        # Of each layer its two inputs, what norms make of them, and what its four and two products read and give.
        inside = 0 if recomputes else residual * 3 * width + operand * (6 * width + 2 * inner)
        kept += patches * (vision.num_layers + 1) * (residual * width + inside)
    if not {card.tower, card.projector} <= set(frozen):
        kept += patches * operand * (width + 2 * hidden_size)
    return kept


def vision_weights(model: ModelFacts, frozen: Collection[str] = ()) -> int:
    """Weights in front of the language model, but for those of modules of these names; 0 where it reads text alone."""
    if model.vision is None:
        return 0
    card, found = model.vision.card, 0
    for name, one in model.tensors.items():
        part = card.part_of(name)
        if part != "language_model" and card.module_of(part) not in frozen:
            found += one.num_elements
    return found


def _known(vision: VisionFacts, images: Sequence[ImageShape]) -> _Read:
    if vision.grid is not None:
        each = [image.height * image.width // vision.patch_size**2 for image in images]
        return _of_patches(vision, sum(each), max(each))
    padded = len(images) * max(image.squares for image in images)  # a tensor has as many tiles of each image
    squares = sum(image.squares for image in images)
    return _of_squares(vision, squares, squares if vision.tiles is None else padded)


def _at_most(vision: VisionFacts, tokens: int, length: int) -> _Read:
    if vision.grid is not None:
        merged = vision.grid.merge**2
        return _of_patches(vision, tokens * merged, min(length, vision.tokens_per_image) * merged)
    least, tiles = vision.tokens_per_image, 1
    if vision.tiles is not None:
        least, tiles = (vision.image_size // vision.patch_size) ** 2, vision.tiles.most
    if vision.squares is not None:  # of which the least image is one
        least = vision.squares.each(vision.patch_size)
    if vision.crops is not None:
        least = vision.crops.each
    squares = tokens // max(1, length) * (length // least) * tiles
    return _of_squares(vision, squares, squares)


def _of_squares(vision: VisionFacts, squares: int, padded: int) -> _Read:
    """Squares as large as the tower reads, among as many as their tensor has room for."""
    features, pixels = (vision.image_size // vision.patch_size) ** 2 + 1, vision.image_size**2
    masks = 2 * _INT64 * squares * pixels if vision.squares is not None else 0  # made twice
    return _Read(squares * features, squares * features**2, padded * _CHANNELS * pixels, masks)


def _of_patches(vision: VisionFacts, patches: int, largest: int) -> _Read:
    """Patches of images that keep their shape, of which the largest has so many; they attend one after the other."""
    frames = vision.grid.frames if vision.grid is not None else 1
    return _Read(patches, largest**2, patches * frames * _CHANNELS * vision.patch_size**2, 0)
