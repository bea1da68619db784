"""What a vision tower holds while it reads the images of a batch, from shapes alone.

Nothing of a frozen one is kept for a way back. At its largest moment there are the pixels, the states that go into a
layer, or those behind each layer where a model may use any, and what one layer makes on its way, with its scores where
attention holds them; behind it, the images in the language model's width.
"""

from __future__ import annotations

from collections.abc import Collection

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["image_bytes", "kept_image_bytes", "vision_weights"]

_CHANNELS, _FP32, _INT64 = 3, 4, 8


def image_bytes(vision: VisionFacts, tokens: int, length: int, hidden_size: int, operand: int, *, eager: bool) -> int:
    """Bytes at the largest moment of as many images as have room in rows.

    Args:
        vision: The tower.
        tokens: Of all rows that are read at once.
        length: Of each.
        hidden_size: Width of the language model.
        operand: Bytes of a number.
        eager: Whether attention holds its scores.
    """
    patches, pairs, numbers, held = _read(vision, tokens, length)
    states = (vision.num_layers + 1 if vision.card.keeps_states else 1) * vision.hidden_size
    attention, feed_forward = 5 * vision.hidden_size, vision.hidden_size + 2 * vision.intermediate_size
    behind = states + 3 * hidden_size  # two layers of the projector with what stands between them
    scores = vision.num_heads * pairs if eager else 0
    each = 2 * _FP32 + (operand if operand < _FP32 else 0)  # into softmax and out of it, and as the product gave them
    attending = patches * operand * (states + attention) + scores * each
    feeding = patches * operand * (states + feed_forward) + scores * operand  # their result stands until a layer ends
    return held + numbers * (_FP32 + operand) + max(attending, feeding, patches * operand * behind)


def kept_image_bytes(
    vision: VisionFacts,
    frozen: Collection[str],
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
        tokens: Of all rows that are read at once.
        length: Of each.
        hidden_size: Width of the language model.
        operand: Bytes of a number of products.
        residual: Bytes of a number between layers.
        recomputes: Whether layers are computed anew in the backward pass.
    """
    patches, *_ = _read(vision, tokens, length)
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
    parts = [(model.vision.card.part_of(name), one.num_elements) for name, one in model.tensors.items()]
    beside = ((model.vision.card.module_of(part), size) for part, size in parts if part != "language_model")
    return sum(size for module, size in beside if module not in frozen)


def _read(vision: VisionFacts, tokens: int, length: int) -> tuple[int, int, int, int]:
    """Patches, pairs of patches in attention, and numbers of as many images as have room in rows; bytes of masks."""
    side = vision.patch_size
    if vision.grid is None:
        features = (vision.image_size // side) ** 2
        least, tiles, masks = vision.tokens_per_image, 1, 0
        if vision.tiles is not None:
            least, tiles = features, vision.tiles.most
        if vision.squares is not None:  # of which the least image is one; each has a mask of its pixels, made twice
            least, masks = vision.squares.each(side), 2 * _INT64
        if vision.crops is not None:
            least = vision.crops.each
        images = tokens // max(1, length) * (length // least) * tiles
        patches, pairs = images * (features + 1), images * (features + 1) ** 2
        numbers = images * _CHANNELS * vision.image_size**2
        held = images * masks * vision.image_size**2
    else:
        patches = tokens * vision.grid.merge**2
        pairs = (min(length, vision.tokens_per_image) * vision.grid.merge**2) ** 2  # one image after the other
        numbers, held = patches * vision.grid.frames * _CHANNELS * side**2, 0
    return patches, pairs, numbers, held
