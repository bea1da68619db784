"""The images of token streams: their bytes, how large they are, and which of them a plan pins the pixels of."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftc.spec.documents.streams import TokenStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IMAGES_FILE", "ImageSizes", "OtherImage", "StreamImages", "first_images", "open_image_sizes", "sizes_file"]

IMAGES_FILE = "images.arrow"
"""File of the images of all streams of a folder, beside them: the sha256 and the bytes of each."""
_FIRST_IMAGES = 8


class OtherImage(ValueError):
    """An image of a stream that is missing, or has other bytes than its name says."""


class StreamImages:
    """The images of all streams in a folder, by the sha256 of their bytes; their table is mapped once.

    Args:
        folder: The folder of the streams.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / IMAGES_FILE

    def content(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            OtherImage: It is missing or has other bytes, or the table can't be read.
        """
        table, places = self._table
        data: bytes | None = table.column("content")[places[name]].as_py() if name in places else None
        if data is None or hashlib.sha256(data).hexdigest() != name:
            raise OtherImage(f"image {name[:12]} is missing or has other bytes")
        return data

    @cached_property
    def _table(self) -> tuple[Any, dict[str, int]]:
        import pyarrow as pa

        try:
            with pa.memory_map(str(self._file)) as source:
                table = pa.ipc.open_file(source).read_all()
            return table, {name: number for number, name in enumerate(table.column("sha256").to_pylist())}
        except (OSError, ValueError, KeyError) as error:
            raise OtherImage(f"`{self._file.name}` is missing or damaged") from error


class ImageSizes(NamedTuple):
    """The images of a split's rows by their size: what memory needs of them. A small file beside the stream holds it.

    Each image stands as often as rows have it, in the order of rows and of their tokens.
    """

    rows: NDArray[np.int64]  # (images,)
    """Place of its row in the stream."""
    widths: NDArray[np.int64]  # (images,)
    """In pixels, upright."""
    heights: NDArray[np.int64]  # (images,)
    """Likewise."""


def sizes_file(stream: Path) -> Path:
    """The file of the images' sizes that belongs to a split's stream."""
    return stream.with_suffix(".images.npy")


def open_image_sizes(stream: Path) -> ImageSizes | None:
    """How large the images of a split's rows are; None where they have none.

    Args:
        stream: File of the split's stream.

    Raises:
        OSError: The file can't be read.
        ValueError: It is another kind of file.
    """
    import numpy as np

    if not (file := sizes_file(stream)).exists():
        return None
    rows, widths, heights = np.load(file, allow_pickle=False).astype(np.int64)
    return ImageSizes(rows, widths, heights)


def first_images(stream: TokenStream) -> list[str]:
    """sha256 of the first few images of a stream, each once."""
    found: dict[str, None] = {}
    for number in range(len(stream)):
        found |= dict.fromkeys(stream.images(number))
        if len(found) >= _FIRST_IMAGES:
            break
    return list(found)[:_FIRST_IMAGES]
