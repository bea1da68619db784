"""The images of the heaviest micro-batches that the rows can give: what a trace reads beside tokens.

Images aren't padded to one size, so no row stands for all: a micro-batch gets those of the rows that have most of them.
As with tokens, bounds hold for every order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ftc.compiler.row_images import RowImages
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.memory_trace import BatchShape

__all__ = ["heaviest", "with_images"]

_Images = tuple[ImageShape, ...]


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
