"""An image file, decoded within limits: by the plan, which names what is wrong with it, and by the run, which reads it.

Files may come from a stranger. Few formats are opened, none whose decoder starts other programs; size and pixels are
limited before anything is decoded; and whatever a decoder fails with is a reason in words.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMATS", "MOST_BYTES", "MOST_PIXELS", "BadImage", "decode_image", "jpeg_of", "mean_difference"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats that are opened, as Pillow names them."""
MOST_BYTES = 64 * 2**20
"""Bytes of the largest file."""
MOST_PIXELS = 64 * 2**20
"""Pixels of the largest image, which take 192 MiB as numbers of a byte."""
_DEEP_MODES = ("I", "F")
"""Modes of Pillow with more than 8 bits a channel; `I;16` and its kin begin with the first."""

Fault = Literal["broken", "large", "deep", "frames", "shape"]


class BadImage(ValueError):
    """An image that can't be used. The text completes "the image …".

    Attributes:
        fault: What kind of fault it is.
    """

    def __init__(self, fault: Fault, reason: str) -> None:
        self.fault: Fault = fault
        super().__init__(reason)


def decode_image(data: bytes) -> Image:
    """The image in a file, upright and in three channels of 8 bits, as processors of images expect it.

    Transparency is left out and CMYK converted as Pillow does it, as transformers has it.

    Raises:
        BadImage: It can't be used.
        ModuleNotFoundError: Pillow isn't installed.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if len(data) > MOST_BYTES:
        raise BadImage("large", f"has {len(data):,} bytes; {MOST_BYTES:,} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, and sizes that are compared below
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise BadImage("large", f"has {width:,} x {height:,} pixels; {MOST_PIXELS:,} are allowed")
                if image.mode.startswith(_DEEP_MODES):
                    raise BadImage(
                        "deep", f"has more than 8 bits a channel (mode {image.mode}), which a conversion would clip"
                    )
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":  # a photo with its preview
                    raise BadImage("frames", f"has {frames:,} frames, and a model reads one")
                image.load()
                return ImageOps.exif_transpose(image).convert("RGB")
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage("large", f"has more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # decoders fail on damaged files with almost anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if isinstance(error, UnidentifiedImageError):
            reason = [f"it is none of {', '.join(FORMATS)}"]
        raise BadImage("broken", f"can't be decoded: {reason[0][:200]}") from error


def jpeg_of(image: Image, longest: int) -> bytes:
    """The image as a JPEG file, made smaller where its longer side has more pixels than that; of 256 it has some 10 KB.

    Args:
        image: In three channels of 8 bits.
        longest: Pixels of the longer side at most.
    """
    small, file = image.copy(), io.BytesIO()
    small.info.clear()  # a comment would go into the file, and may name who is in the image
    small.thumbnail((longest, longest))
    small.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()


def mean_difference(first: bytes, second: bytes) -> float:
    """How far two image files are apart, on average over channels and pixels, from 0 to 255; 255 of other sizes.

    Raises:
        BadImage: One can't be used.
    """
    from PIL import ImageChops, ImageStat

    left, right = decode_image(first), decode_image(second)
    if left.size != right.size:
        return 255.0
    means = ImageStat.Stat(ImageChops.difference(left, right)).mean
    return sum(means) / len(means)
