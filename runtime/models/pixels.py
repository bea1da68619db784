"""From the images of a token stream to what a model takes: by the processor in the model's own folder.

Transformers has two ways to process images, one by Pillow and one by torchvision, whose results differ in the last
bits; the first is always taken, so that what is installed beside changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.stream_images import OtherImage, StreamImages
from ftc.spec.documents.streams import TokenStream
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.storage.images import decode_image
from ftc.spec.vision_models import VISION_MODELS

__all__ = ["FolderPixels", "image_inputs", "load_processor", "pixel_digest", "with_pixels"]

_INPUTS = tuple(dict.fromkeys(name for card in VISION_MODELS for name in card.inputs))
"""What processors give that models take. Each model has two of them at most, in the order of its card."""


def load_processor(model_folder: Path) -> Any:
    """What makes numbers of images, as the model's folder describes it.

    Raises:
        Refusal: It can't be loaded (FTC414).
    """
    from transformers import AutoImageProcessor

    from ftc.runtime.models.base_model import quiet_transformers

    try:
        with quiet_transformers():
            return AutoImageProcessor.from_pretrained(model_folder, local_files_only=True, backend="pil")
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        help = "check `preprocessor_config.json` in the model's folder; `pip install 'ftc[vision]'` installs Pillow"
        found = diagnostic("FTC414", "the model's image processor can't be loaded", notes=reason, help=help)
        raise Refusal([found]) from error


class FolderPixels:
    """The images of the streams in a folder; the processor and the table of images are read once for all of them.

    Args:
        streams_folder: Where they lie.
        model_folder: Where the model's processor lies.
        options: What that is asked for beside what its files say: see `VisionSettings.processor_options`.
    """

    def __init__(self, streams_folder: Path, model_folder: Path, options: Mapping[str, Any]) -> None:
        self._images = StreamImages(streams_folder)
        self._model_folder = model_folder
        self._options = options

    def __call__(self, rows: TokenStream, numbers: Sequence[int]) -> dict[str, torch.Tensor] | None:
        """Images of rows, one behind the other, by the names of the model's inputs; None where they have none.

        Raises:
            Refusal: An image is missing or has other bytes than the stream says, or the processor fails (FTC414).
        """
        names = [name for number in numbers for name in rows.images(number)]
        return self.of(names) if names else None

    def of(self, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Images by their sha256: (I, C, H, W) pixels; (I, N, C, H, W) of tiles with (I, 2) sizes; (P, D) patches of
        all with (I, 3) what each has of them; or (1, S, C, H, W) squares of all, with (1, S, H, W) ones for pixels.
        """
        try:
            images = [decode_image(self._images.content(name)) for name in names]
        except OtherImage as error:
            help = "plan again; it reads the images again"
            summary = "the images of the token streams differ from the plan"
            raise Refusal([diagnostic("FTC414", summary, notes=str(error), help=help)]) from error
        try:
            found = self._processor(images=images, return_tensors="pt", **self._options)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            help = "check `preprocessor_config.json` in the model's folder"
            summary = "the model's image processor can't read the images"
            raise Refusal([diagnostic("FTC414", summary, notes=reason, help=help)]) from error
        return {name: found[name] for name in _INPUTS if name in found}

    @cached_property
    def _processor(self) -> Any:
        return load_processor(self._model_folder)


def with_pixels(rows: TokenStream, pixels: FolderPixels) -> TokenStream:
    """The rows with what reads their images; as they are where they have none."""
    return replace(rows, pixels=pixels) if rows.has_images else rows


def pixel_digest(pixels: Mapping[str, torch.Tensor]) -> str:
    """sha256 over types, shapes and numbers of images, in the order of the inputs' names as ftc lists them."""
    state = hashlib.sha256()
    for name in _INPUTS:
        if name in pixels:
            state.update(f"{pixels[name].dtype} {tuple(pixels[name].shape)}\n".encode())
            state.update(pixels[name].contiguous().numpy().data)
    return state.hexdigest()


def image_inputs(
    vision: VisionSettings | None,
    ids: torch.Tensor,
    pixels: Mapping[str, torch.Tensor] | None,
    answers: torch.Tensor | None,
) -> dict[str, torch.Tensor]:
    """What a model takes beside ids for the images among them; empty where there are none, and it sees nothing ahead.

    Args:
        vision: What reads images.
        ids: (B, T) tokens.
        pixels: The images of all rows; None where they have none.
        answers: (B, T) zeros for a row's prompt and ones behind it, which a model whose prompt sees ahead needs.
    """
    if vision is None:
        return {}
    known = vision.card
    if known.marks is not None and known.sees_ahead == "prompt":
        assert answers is not None, "without it the model would see the answer before it writes it"
        return {**(pixels or {}), known.marks: answers}
    marks = known.marks if pixels is not None or known.sees_ahead == "images" else None
    marked = {marks: (ids == vision.image_token_id).int()} if marks else {}
    return {**(pixels or {}), **marked}
