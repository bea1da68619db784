"""What reads images in settings: of facts, of a tiny model by its type, and of a run that trains an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.models.vision_config import vision_facts
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.vision_models import vision_model
from tests.support.trace_jobs import trace_job

__all__ = ["as_settled", "tiny_vision", "vision_settings"]


def as_settled(facts: VisionFacts) -> VisionSettings:
    """What reads images as a plan of an adapter has it."""
    return VisionSettings(
        model_type=facts.model_type,
        image_token_id=facts.image_token_id,
        tokens_per_image=facts.tokens_per_image,
        pans=facts.pans,
        frozen=facts.parts,
        pixels_sha256=None,
    )


def tiny_vision(kind: str, tokens: int, pixels: str | None = None) -> VisionSettings:
    """The same for a tiny model of a type, by the tokens of an image and the digest of the first ones."""
    card = vision_model(kind)
    assert card is not None
    return VisionSettings(
        model_type=kind, image_token_id=4, tokens_per_image=tokens, frozen=card.parts, pixels_sha256=pixels
    )


def vision_settings(folder: Path, strategy: str = "lora", **changes: Any) -> Settings:
    """Settings for the model in a folder, whose language model has two layers; `changes` as `trace_job` has them."""
    facts, faults = vision_facts(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    assert facts is not None
    assert not faults
    vision = {"model__vision": as_settled(facts).model_dump()}
    return trace_job(facts.config, strategy, num_modules=4, **{**vision, **changes}).settings
