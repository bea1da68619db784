"""The images of token streams: where they lie, and which of them a plan pins the pixels of."""

from __future__ import annotations

from ftc.spec.documents.streams import TokenStream

__all__ = ["IMAGES_FILE", "first_images"]

IMAGES_FILE = "images.arrow"
"""File of the images of all streams of a folder, beside them: the sha256 and the bytes of each."""
_FIRST_IMAGES = 8


def first_images(stream: TokenStream) -> list[str]:
    """sha256 of the first few images of a stream, each once."""
    found: dict[str, None] = {}
    for number in range(len(stream)):
        found |= dict.fromkeys(stream.images(number))
        if len(found) >= _FIRST_IMAGES:
            break
    return list(found)[:_FIRST_IMAGES]
