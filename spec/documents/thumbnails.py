"""Small pictures of the images of rows that a report shows, kept with the run: its images may be gone by then."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import chain

from pydantic import Field

from ftc.spec.base import Document
from ftc.spec.documents.outcomes import Outcome, by_loss
from ftc.spec.documents.stream_images import StreamImages
from ftc.spec.storage.images import decode_image, jpeg_of

__all__ = ["MOST_OF_A_ROW", "Thumbnail", "of_reported_rows", "thumbnail"]

MOST_OF_A_ROW = 4
"""Images of a row that a report shows; a row may have the pages of a whole document."""
_LONGEST = 256
"""Pixels of a picture's longer side: a page shows it at 160, and sharp screens have two for each."""


class Thumbnail(Document):
    """An image of a row, made small; a line of `thumbnails.ndjson`."""

    image: str
    """sha256 of the image's bytes, as rows name it."""
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    """Of the image itself, in pixels, upright."""
    jpeg: str
    """The small picture, a JPEG file in base64."""

    @property
    def picture(self) -> bytes:
        """The bytes of the JPEG file.

        Raises:
            ValueError: They are no base64.
        """
        return base64.b64decode(self.jpeg, validate=True)


def of_reported_rows(outcomes: Sequence[Outcome], samples: int) -> list[str]:
    """sha256 of the images that a report shows, each once.

    Args:
        outcomes: All rows of the test split, in its order.
        samples: Rows that each of the report's tables shows, `eval.samples`.
    """
    shown = chain(outcomes[:samples], *by_loss(outcomes, samples))
    return list(dict.fromkeys(name for one in shown for name in one.images[:MOST_OF_A_ROW]))


def thumbnail(name: str, images: StreamImages) -> Thumbnail:
    """A small picture of an image.

    Args:
        name: sha256 of the image.
        images: Where it lies.

    Raises:
        OtherImage: It is missing or has other bytes.
        BadImage: It can't be decoded here.
    """
    image = decode_image(images.content(name))
    width, height = image.size
    jpeg = base64.b64encode(jpeg_of(image, _LONGEST)).decode()
    return Thumbnail(image=name, width=width, height=height, jpeg=jpeg)
