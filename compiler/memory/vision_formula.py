"""What a frozen vision tower holds while it reads the images of a batch, from shapes alone.

Nothing of it is kept for a way back. At its largest moment there are the pixels, the states that go into a layer, or
those behind each layer where a model may use any, and what one layer makes on its way, with its scores where attention
holds them; behind it, the images in the language model's width.
"""

from __future__ import annotations

from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["image_bytes"]

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
    side = vision.patch_size
    if vision.grid is None:
        features = (vision.image_size // side) ** 2
        least, tiles, masks = vision.tokens_per_image, 1, 0
        if vision.tiles is not None:
            least, tiles = features, vision.tiles.most
        if vision.squares is not None:  # of which the least image is one; each has a mask of its pixels, made twice
            least, masks = vision.squares.each(side), 2 * _INT64
        images = tokens // max(1, length) * (length // least) * tiles
        patches, pairs = images * (features + 1), images * (features + 1) ** 2
        numbers = images * _CHANNELS * vision.image_size**2
        held = images * masks * vision.image_size**2
    else:
        patches = tokens * vision.grid.merge**2
        pairs = (min(length, vision.tokens_per_image) * vision.grid.merge**2) ** 2  # one image after the other
        numbers, held = patches * vision.grid.frames * _CHANNELS * side**2, 0
    states = (vision.num_layers + 1 if vision.card.keeps_states else 1) * vision.hidden_size
    attention, feed_forward = 5 * vision.hidden_size, vision.hidden_size + 2 * vision.intermediate_size
    behind = states + 3 * hidden_size  # two layers of the projector with what stands between them
    scores = vision.num_heads * pairs if eager else 0
    each = 2 * _FP32 + (operand if operand < _FP32 else 0)  # into softmax and out of it, and as the product gave them
    attending = patches * operand * (states + attention) + scores * each
    feeding = patches * operand * (states + feed_forward) + scores * operand  # their result stands until a layer ends
    return held + numbers * (_FP32 + operand) + max(attending, feeding, patches * operand * behind)
