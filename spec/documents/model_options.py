"""Parts of a model's settings that most plans don't have, and that are absent from their documents then."""

from __future__ import annotations

from typing import ClassVar

from ftc.spec.base import SparseDocument
from ftc.spec.documents.lineage import Combined, Fetched, Parent
from ftc.spec.documents.own_tokenizer import OwnTokenizer
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.quantized_files import QuantizedMethod

__all__ = ["ModelOptions"]


class ModelOptions(SparseDocument):
    """What a model may have beside what every one has."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = (
        *("vision", "parent", "rope", "combined", "fetched", "tokenizer", "quantized_files", "packed"),
    )

    vision: VisionSettings | None = None
    """What reads images; None, and absent from documents, for a model that reads text alone."""
    parent: Parent | None = None
    """The run that this one begins from; None, and absent from documents, for a plain base model."""
    rope: RopeSettings | None = None
    """How rotary positions are scaled; None, and absent from documents, where they are the model's own."""
    combined: Combined | None = None
    """Adapters of other runs that this run's is made of; None, and absent from documents, for one that is trained."""
    fetched: Fetched | None = None
    """What a hosted service trained and this run takes; None, and absent from documents, for one that trains itself."""
    tokenizer: OwnTokenizer | None = None
    """What the recipe changes of the tokenizer; None, and absent from documents, where that is nothing."""
    quantized_files: QuantizedMethod | None = None
    """How files hold quantized weights; None, and absent from documents, where they hold them whole."""
    packed: PackedWeights | None = None
    """Layers that stay quantized in memory; None, and absent from documents, where none do."""
