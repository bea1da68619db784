"""What a frozen vision tower holds while it reads the images of a batch, from shapes alone.

Nothing of it is kept for a way back. At its largest moment there are the pixels, the states behind each layer, of which
a model may use any, and what one layer makes on its way; behind it, the images in the language model's width.
"""

from __future__ import annotations

from ftc.spec.documents.facts import VisionFacts

__all__ = ["image_bytes", "most_images"]

_CHANNELS, _FP32 = 3, 4


def most_images(vision: VisionFacts, tokens: int, length: int) -> int:
    """Images in rows of so many tokens each, at the most that have room in them."""
    return tokens // max(1, length) * (length // vision.tokens_per_image)


def image_bytes(vision: VisionFacts, images: int, hidden_size: int, operand: int) -> int:
    """Bytes at the largest moment of so many images.

    Args:
        vision: The tower.
        images: Read at once.
        hidden_size: Width of the language model.
        operand: Bytes of a number.
    """
    patches = images * ((vision.image_size // vision.patch_size) ** 2 + 1)
    pixels = images * _CHANNELS * vision.image_size**2 * (_FP32 + operand)
    states = (vision.num_layers + 1) * vision.hidden_size
    attention, feed_forward = 5 * vision.hidden_size, vision.hidden_size + 2 * vision.intermediate_size
    inside = states + max(attention, feed_forward)
    behind = states + 3 * hidden_size  # two layers of the projector with what stands between them
    return pixels + patches * operand * max(inside, behind)
