"""Rotary positions of a model that reads longer sequences than those of pretraining."""

from __future__ import annotations

from typing import Any

from ftc.spec.base import Document, Real
from ftc.spec.sections.model import RopeKind

__all__ = ["RopeSettings"]


class RopeSettings(Document):
    """How the model's rotation is scaled."""

    kind: RopeKind
    factor: Real
    original: int
    """Positions that the model was pretrained with."""
    positions: int
    """Positions that it has now."""

    def parameters(self) -> dict[str, Any]:
        """What transformers calls `rope_scaling`, without the model's own frequency."""
        found: dict[str, Any] = {"rope_type": self.kind, "factor": self.factor}
        if self.kind in ("yarn", "llama3"):
            found["original_max_position_embeddings"] = self.original
        if self.kind == "llama3":  # the bands that Llama 3.1 has
            found |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
        return found

    def values(self) -> dict[str, Any]:
        """Keys of `config.json` by transformers 4; a dynamic rotation reads the original number of positions there."""
        limit = self.original if self.kind == "dynamic" else self.positions
        return {"rope_scaling": self.parameters(), "max_position_embeddings": limit}
