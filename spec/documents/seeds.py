"""The seeds of a run's random streams."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document

__all__ = ["Seeds"]


class Seeds(Document):
    """One named random stream for each purpose, all derived from `train.seed`."""

    init: int
    """Weights that are new: adapter and head."""
    order: int
    """Order of rows."""
    dropout: int
    sampling: int | None = None
    """Answers that are sampled in training; absent from the plan of any other task."""

    masking: int | None = None
    """Tokens that are masked, or missing, in training; absent likewise."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}
