"""What reads images beside text, with nothing left open."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document

__all__ = ["MayReadImages", "VisionSettings"]


class VisionSettings(Document):
    """What reads images beside text."""

    model_type: str
    """Model type of the whole, such as `llava`."""
    image_token_id: int
    """Token that stands in a row for each feature of an image."""
    tokens_per_image: int
    """Tokens of an image."""
    frozen: tuple[str, ...]
    """Modules beside the language model that are not trained."""
    pixels_sha256: str | None
    """Digest of what the model's own processor makes of the first images; None where it wasn't asked."""


class MayReadImages(Document):
    """A model that may read images beside text."""

    vision: VisionSettings | None = None
    """What reads images; None, and absent from documents, for a model that reads text alone."""

    @model_serializer(mode="wrap")
    def _without_vision(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if (name, value) != ("vision", None)}
