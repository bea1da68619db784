"""Settings of a run that trains an adapter on a tiny model that reads images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.models.vision_config import vision_facts
from ftc.spec.documents.settings import Settings
from tests.support.trace_jobs import trace_job

__all__ = ["vision_settings"]


def vision_settings(folder: Path, **changes: Any) -> Settings:
    """Settings for the model in a folder, whose language model has two layers; `changes` as `trace_job` has them."""
    facts, faults = vision_facts(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    assert facts is not None
    assert not faults
    vision = {
        "model_type": facts.model_type,
        "image_token_id": facts.image_token_id,
        "tokens_per_image": facts.tokens_per_image,
        "frozen": facts.parts,
        "pixels_sha256": None,
    }
    return trace_job(facts.config, num_modules=4, model__vision=vision, **changes).settings
