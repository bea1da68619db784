"""Small pictures of images: no more is in them than what is seen."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ftc.spec.storage.images import decode_image, jpeg_of, mean_difference

pillow: Any = pytest.importorskip("PIL.Image")
png: Any = pytest.importorskip("PIL.PngImagePlugin")
NAME = "jane doe"


def image_file(kind: str, comment: str) -> bytes:
    file, image, options = io.BytesIO(), pillow.new("RGB", (300, 20), "green"), dict[str, Any]()
    if kind == "PNG":
        info = png.PngInfo()
        info.add_text("comment", comment, zip=True)
        options["pnginfo"] = info
    else:
        options["comment"] = comment.encode()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("length", [1, 5_000])
def test_a_comment_is_left_behind(kind: str, length: int) -> None:
    small = jpeg_of(decode_image(image_file(kind, NAME * length)), 256)
    assert NAME.encode() not in small
    with pillow.open(io.BytesIO(small)) as found:
        assert (found.size, found.info.get("comment")) == ((256, 17), None)


def test_how_far_two_pictures_are_apart() -> None:
    green, again = (image_file(kind, "") for kind in ("PNG", "JPEG"))
    black = io.BytesIO()
    pillow.new("RGB", (300, 20)).save(black, "PNG")
    assert mean_difference(green, again) < 2 < mean_difference(green, black.getvalue())
    assert mean_difference(green, jpeg_of(decode_image(green), 256)) == 255, "of another size"
