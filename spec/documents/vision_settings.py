"""What a model has beside its text, with nothing left open: what reads images, and the run that it begins from."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document
from ftc.spec.documents.lineage import Parent

__all__ = ["MayHaveMore", "VisionSettings"]


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


class MayHaveMore(Document):
    """A model that may read images beside text, and may begin from an earlier run."""

    vision: VisionSettings | None = None
    """What reads images; None, and absent from documents, for a model that reads text alone."""
    parent: Parent | None = None
    """The run that this one begins from; None, and absent from documents, for a plain base model."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = [(name, None) for name in ("vision", "parent")]
        return {name: value for name, value in handler(self).items() if (name, value) not in absent}
