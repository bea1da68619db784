"""What a model has beside its text, with nothing left open: what reads images, and the run that it begins from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ftc.spec.base import SparseDocument
from ftc.spec.documents.vision_facts import PanCuts
from ftc.spec.vision_card import VisionModel
from ftc.spec.vision_models import vision_model

__all__ = ["VisionSettings", "processor_options"]


class VisionSettings(SparseDocument):
    """What reads images beside text."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("pans",)

    model_type: str
    """Model type of the whole, such as `llava`."""
    image_token_id: int
    """Token that stands in a row for each feature of an image."""
    tokens_per_image: int
    """Tokens of an image, without words around it; at the most, where it keeps its shape or becomes several."""
    pans: PanCuts | None = None
    """How elongated images are cut into crops; None, and absent from documents, where they are not."""
    frozen: tuple[str, ...]
    """Modules beside the language model that are not trained."""
    pixels_sha256: str | None
    """Digest of what the model's own processor makes of the first images; None where it wasn't asked."""

    @property
    def card(self) -> VisionModel:
        """What is known of the model type."""
        known = vision_model(self.model_type)
        assert known is not None, "plans are made for known model types alone"
        return known

    @property
    def unquantized(self) -> tuple[str, ...]:
        """Modules that stay as they are where linear layers are quantized, as transformers names them."""
        return self.card.unquantized

    @property
    def processor_options(self) -> Mapping[str, bool | int | float]:
        """What the model's image processor is asked for beside what its files say."""
        return processor_options(self.card, self.pans)


def processor_options(card: VisionModel, pans: PanCuts | None) -> Mapping[str, bool | int | float]:
    """What a model's image processor is asked for beside what its files say.

    Where it can take crops, it is asked for them or not: transformers' own processor goes by its caller, not by files.
    """
    if (keys := card.crop_keys) is None:
        return card.options
    if pans is None:
        return {**card.options, keys.switch: False}
    numbers = {keys.least: pans.least, keys.most: pans.cuts, keys.ratio: pans.ratio}
    return {**card.options, keys.switch: True, **numbers}
