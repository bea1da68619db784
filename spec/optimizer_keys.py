"""Hyperparameters that single optimizers know, beside those that the recipe's section gives to all."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ftc.spec.base import Document, Real, SparseDocument

__all__ = ["OptimizerKeys", "OptimizerNumbers"]


class OptimizerNumbers(SparseDocument):
    """What a recipe says and a plan settles of single optimizers; None for what nobody said, or one ignores."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("beta3", "alpha")

    beta3: Real | None = Field(default=None, ge=0, lt=1)
    """Decay of AdEMAMix's slow mean. Default: 0.9999, the paper's."""
    alpha: Real | None = Field(default=None, ge=0, le=100)
    """Weight of AdEMAMix's slow mean beside the fast one. Default: 5, bitsandbytes'; the paper has 4 to 10."""


class _Kind(Document):
    kind: str


class OptimizerKeys(OptimizerNumbers, _Kind):
    """The same behind the kind of the optimizer."""
