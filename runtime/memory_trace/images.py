"""Rows with images of given shapes: their tokens, and what the model takes for them, as its card says.

Nothing of an image matters but its size, so pixels are a single one that claims their shape; grids and sizes are there.
A model that takes zeros for padding sees none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from ftc.spec.documents.streams import TokenStream
from ftc.spec.vision_card import PixelForm, VisionModel
from ftc.spec.vision_models import vision_model

__all__ = ["with_stand_in_images"]

_Rows = Sequence[Sequence[ImageShape]]
_Array = NDArray[Any]


def with_stand_in_images(
    job: TraceJob, shape: BatchShape, rows: TokenStream, config: Any, device: torch.device
) -> TokenStream:
    """The rows with as many images as the shape says; as they are where it has none.

    Args:
        job: Names the model.
        shape: Of the rows' micro-batch.
        rows: Without images, each as long as the shape, or two halves of it.
        config: transformers' configuration of the model.
        device: Where the model is; on a real one pixels take their memory.
    """
    vision = job.settings.model.vision
    if vision is None or not any(shape.images):
        return rows
    card = vision_model(vision.model_type)
    assert card is not None, "the plan knows the model"
    whole = len(rows.all_ids) // shape.length
    ids, filler = rows.all_ids.reshape(whole, shape.length).copy(), int(vision.image_token_id == 0)
    ids[:, :-1] = filler
    for row in range(whole):
        end = 0
        for image in shape.images[row % len(shape.images)]:
            ids[row, end + 1 : end + 1 + image.tokens] = vision.image_token_id
            end += 1 + image.tokens
    pixels = _StandIns(config, card, shape.images, len(rows) // whole, device.type == "meta")
    return replace(rows, all_ids=ids.reshape(-1), pixels=pixels)


@dataclass(frozen=True, slots=True)
class _StandIns:
    """What a model takes for the images of rows; see `ftc.spec.documents.streams.TokenStream.pixels`.

    Attributes:
        config: transformers' configuration of the model.
        card: Says what it takes.
        images: Of each row of a micro-batch.
        parts: Rows of the stream that make up one of these.
        on_meta: Whether pixels take no memory before they are copied.
    """

    config: Any
    card: VisionModel
    images: _Rows
    parts: int
    on_meta: bool

    def __call__(self, rows: TokenStream, numbers: Sequence[int]) -> dict[str, torch.Tensor] | None:  # noqa: ARG002
        """Images of rows, by the names of the model's inputs; None where they have none."""
        whole = [number // self.parts for number in numbers if number % self.parts == 0]
        seen = [images for number in whole if (images := self.images[number % len(self.images)])]
        if not seen:
            return None
        tower = self.config.vision_config
        made = {name: _FORMS[form](tower, seen) for name, form in self.card.inputs.items()}
        return {name: torch.from_numpy(one if self.on_meta else one.copy()) for name, one in made.items()}


def _each(rows: _Rows) -> list[ImageShape]:
    return [image for images in rows for image in images]


def _ones(*shape: int, dtype: Any = np.float32) -> _Array:
    """Numbers that take no memory until they are copied."""
    return as_strided(np.ones(1, dtype=dtype), shape, [0] * len(shape))


def _channels(tower: Any) -> int:
    return int(next(found for key in ("num_channels", "in_channels", "in_chans") if (found := getattr(tower, key, 0))))


def _square(tower: Any) -> tuple[int, int, int]:
    size = tower.image_size
    high, wide = size if isinstance(size, list | tuple) else (size, size)
    return _channels(tower), high, wide


def _squares(tower: Any, rows: _Rows) -> _Array:
    return _ones(len(_each(rows)), *_square(tower))


def _tiles(tower: Any, rows: _Rows) -> _Array:
    images = _each(rows)
    return _ones(len(images), max(image.squares for image in images), *_square(tower))


def _count(rows: _Rows) -> int:
    """Squares of all images."""
    return sum(image.squares for image in _each(rows))


def _pieces(tower: Any, rows: _Rows) -> _Array:
    return _ones(_count(rows), *_square(tower))


def _cuts(tower: Any, rows: _Rows) -> _Array:
    return _ones(1, _count(rows), *_square(tower))


def _masks(tower: Any, rows: _Rows) -> _Array:
    return _ones(1, _count(rows), *_square(tower)[1:], dtype=np.int64)


def _patches(tower: Any, rows: _Rows) -> _Array:
    counts = sum((image.height // tower.patch_size) * (image.width // tower.patch_size) for image in _each(rows))
    return _ones(counts, _channels(tower) * tower.temporal_patch_size * tower.patch_size**2)


def _grids(tower: Any, rows: _Rows) -> _Array:
    return _numbers([1, image.height // tower.patch_size, image.width // tower.patch_size] for image in _each(rows))


def _sizes(_tower: Any, rows: _Rows) -> _Array:
    return _numbers([image.height, image.width] for image in _each(rows))


def _numbers(lines: Any) -> _Array:
    return np.array(list(lines), dtype=np.int64)


_FORMS: Mapping[PixelForm, Callable[[Any, _Rows], _Array]] = {
    "squares": _squares,
    "pieces": _pieces,
    "tiles": _tiles,
    "cuts": _cuts,
    "masks": _masks,
    "patches": _patches,
    "grids": _grids,
    "sizes": _sizes,
}
