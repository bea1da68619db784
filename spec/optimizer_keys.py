"""Hyperparameters that single optimizers know, beside those that the recipe's section gives to all."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document, Real

__all__ = ["OptimizerKeys", "OptimizerNumbers"]


class OptimizerNumbers(Document):
    """What a recipe says and a plan settles of single optimizers; None for what nobody said, or one ignores."""

    beta3: Real | None = Field(default=None, ge=0, lt=1)
    """Decay of AdEMAMix's slow mean. Default: 0.9999, the paper's."""
    alpha: Real | None = Field(default=None, ge=0, le=100)
    """Weight of AdEMAMix's slow mean beside the fast one. Default: 5, bitsandbytes'; the paper has 4 to 10."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class _Kind(Document):
    kind: str


class OptimizerKeys(OptimizerNumbers, _Kind):
    """The same behind the kind of the optimizer."""
