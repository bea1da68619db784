"""The images of a split's rows as a model's tower reads them, and what it has to do for each row, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.stream_images import ImageSizes
from ftc.spec.documents.streams import SplitReport
from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["RowImages", "images_of_splits"]


@dataclass(frozen=True)
class RowImages:
    """The images of a split's rows.

    Attributes:
        sizes: How large they are.
        vision: What reads them.
        rows: Rows of the split, those without images included.
    """

    sizes: ImageSizes
    vision: VisionFacts
    rows: int

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """(rows,) What the tower has to do for all images of a row, in the unit of `ImageShape.weight`."""
        shapes, which = self._distinct
        weights = np.array([one.weight for one in shapes], dtype=np.int64)
        of_rows = np.zeros(self.rows, dtype=np.int64)
        np.add.at(of_rows, self.sizes.rows, weights[which])
        return of_rows

    @cached_property
    def counted(self) -> tuple[tuple[ImageShape, int], ...]:
        """Distinct images as the tower reads them, and how many there are of each."""
        shapes, which = self._distinct
        return tuple(zip(shapes, np.bincount(which, minlength=len(shapes)).tolist(), strict=True))

    @cached_property
    def share(self) -> float:
        """Share of the rows that have any."""
        return len(np.unique(self.sizes.rows)) / max(1, self.rows)

    @cached_property
    def _distinct(self) -> tuple[tuple[ImageShape, ...], NDArray[np.int64]]:
        """Images of distinct sides as the tower reads them, and which of them each image is.

        All candidates of a plan ask for it, and 200,000 images of distinct sizes take seconds.
        """
        sides = np.stack((self.sizes.widths, self.sizes.heights))
        each, which = np.unique(sides, axis=1, return_inverse=True)
        shapes = tuple(self.vision.shape(int(width), int(height)) for width, height in each.T)
        return shapes, which.reshape(-1)

    def sample(self, most: int) -> RowImages:
        """The images of at most so many rows, evenly spread: of the same rows as `RowLengths.sample` takes."""
        step = max(1, -(-self.rows // most))
        sizes, kept = self.sizes, self.sizes.rows % step == 0
        some = ImageSizes(sizes.rows[kept] // step, sizes.widths[kept], sizes.heights[kept])
        return RowImages(some, self.vision, -(-self.rows // step))

    def of(self, row: int) -> tuple[ImageShape, ...]:
        """The images of a row, in the order of their tokens."""
        places = slice(*np.searchsorted(self.sizes.rows, (row, row + 1)))
        sides = zip(self.sizes.widths[places].tolist(), self.sizes.heights[places].tolist(), strict=True)
        return tuple(self.vision.shape(width, height) for width, height in sides)


def images_of_splits(
    sizes: Mapping[str, ImageSizes], vision: VisionFacts | None, splits: Mapping[str, SplitReport]
) -> dict[str, RowImages]:
    """The images of rows, by split; without splits whose rows have none."""
    if vision is None:
        return {}
    seen = {name: found for name, found in sizes.items() if name in splits and len(found.rows)}
    return {name: RowImages(found, vision, splits[name].rows) for name, found in seen.items()}
