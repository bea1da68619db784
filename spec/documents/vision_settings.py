"""What a model has beside its text, with nothing left open: what reads images, and the run that it begins from."""

from __future__ import annotations

from ftc.spec.base import Document
from ftc.spec.vision_models import vision_model

__all__ = ["VisionSettings"]


class VisionSettings(Document):
    """What reads images beside text."""

    model_type: str
    """Model type of the whole, such as `llava`."""
    image_token_id: int
    """Token that stands in a row for each feature of an image."""
    tokens_per_image: int
    """Tokens of an image, without words around it; at the most, where it keeps its shape or becomes several."""
    frozen: tuple[str, ...]
    """Modules beside the language model that are not trained."""
    pixels_sha256: str | None
    """Digest of what the model's own processor makes of the first images; None where it wasn't asked."""

    @property
    def unquantized(self) -> tuple[str, ...]:
        """Modules that stay as they are where linear layers are quantized, as transformers names them."""
        known = vision_model(self.model_type)
        assert known is not None, "plans are made for known model types alone"
        return known.unquantized
