"""What a layer's memory follows from, beside the model: bytes of its numbers, and what of it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ftc.spec.strategies import Beside

__all__ = ["FP32", "Numbers", "Trained"]

FP32 = 4


class Numbers(NamedTuple):
    """Bytes of an element, by where it stands.

    Attributes:
        operand: Of a product's operands.
        linear: Of what a linear layer gives.
        residual: Between layers.
        mask: Of a dropout's mask: a truth value on a card, a number on a CPU.
    """

    operand: int
    linear: int
    residual: int
    mask: int = 1

    @property
    def casts(self) -> bool:
        """Whether products run narrower than the rest."""
        return self.operand < FP32

    @property
    def fused_norm(self) -> int:
        """Of what torch's kernel for layer norms gives: float32 in mixed precision on a card."""
        return FP32 if self.casts and self.mask == 1 else self.residual


@dataclass(frozen=True, slots=True)
class Trained:
    """What is trained in the layers.

    Attributes:
        all_weights: Whether every weight is.
        beside: What stands beside linear layers, by their full names.
        dropout: Whether the adapters' inputs are dropped at random.
        norms: Whether the weights of norms are, though others aren't.
    """

    all_weights: bool
    beside: Mapping[str, Beside]
    dropout: bool = True
    norms: bool = False
