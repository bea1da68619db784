"""The images of the heaviest micro-batches that the rows can give: what a trace reads beside tokens.

Images aren't padded to one size, so no row stands for all: a micro-batch gets those of the rows that have most of them.
As with tokens, bounds hold for every order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.draft import Draft
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.stream_images import ImageSizes
from ftc.spec.documents.vision_facts import VisionFacts

__all__ = ["RowImages", "heaviest", "row_images", "with_images"]

_Images = tuple[ImageShape, ...]


@dataclass(frozen=True, slots=True)
class RowImages:
    """The images of a split's rows.

    Attributes:
        weights: (rows,) What a model's tower has to do for all images of a row, in the unit of `ImageShape.weight`.
    """

    weights: NDArray[np.int64]
    _sizes: ImageSizes
    _vision: VisionFacts

    def of(self, row: int) -> _Images:
        """The images of a row, in the order of their tokens."""
        places = np.flatnonzero(self._sizes.rows == row)
        sides = zip(self._sizes.widths[places].tolist(), self._sizes.heights[places].tolist(), strict=True)
        return tuple(self._vision.shape(width, height) for width, height in sides)


def row_images(draft: Draft, split: str, rows: int) -> RowImages | None:
    """The images of a split of so many rows; None where they have none."""
    sizes, vision = draft.image_sizes.get(split), draft.model.vision
    if sizes is None or vision is None or not len(sizes.rows):
        return None
    each, which = np.unique(np.stack((sizes.widths, sizes.heights)), axis=1, return_inverse=True)
    weights = np.array([vision.shape(int(width), int(height)).weight for width, height in each.T], dtype=np.int64)
    of_rows = np.zeros(rows, dtype=np.int64)
    np.add.at(of_rows, sizes.rows, weights[which.reshape(-1)])
    return RowImages(of_rows, sizes, vision)


def heaviest(images: RowImages | None, count: int, most: int | None = None) -> list[_Images]:
    """The images of the rows that have most of them, a tuple for each row; none of rows without.

    Args:
        images: Of a split.
        count: Rows at once, at most.
        most: What their weights add up to at the most, whichever rows meet; None where only their number is limited.
    """
    if images is None:
        return []
    order = np.argsort(-images.weights, kind="stable")[:count]
    order = order[images.weights[order] > 0]
    if most is not None:
        order = order[: int(np.searchsorted(np.cumsum(images.weights[order]), most)) + 1]
    return [images.of(int(row)) for row in order]


def with_images(shape: BatchShape, rows: int, images: Sequence[_Images]) -> BatchShape:
    """A micro-batch of so many rows with images: dealt to its rows, which become longer where their tokens need it.

    Args:
        shape: The micro-batch.
        rows: Its rows, which may stand for more that are shorter.
        images: Those of each of the rows that have any.
    """
    if not images:
        return shape
    dealt: list[_Images] = [() for _ in range(rows)]
    for some in sorted(images, key=_places, reverse=True):
        row = min(range(rows), key=lambda one: _places(dealt[one]))
        dealt[row] = (*dealt[row], *some)
    length = max(shape.length, *(_places(some) + 1 for some in dealt))
    return shape.model_copy(update={"length": length, "images": tuple(dealt)})


def _places(images: Iterable[ImageShape]) -> int:
    """Places in a row that images take, one before each."""
    return sum(one.tokens + 1 for one in images)
