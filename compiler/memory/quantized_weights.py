"""What a weight of a quantized linear layer takes."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.sections.train import TeacherQuantization
from ftc.spec.strategies.card import Quantized

__all__ = ["PACKED_BYTES", "never_packed", "packed_bytes"]

_NF4_BYTES = {True: 0.5 + 1 / 64 + 4 / (64 * 256), False: 0.5 + 4 / 64}
"""Bytes of a 4-bit weight with its block's scale, with and without double quantization."""
PACKED_BYTES: dict[TeacherQuantization, float] = {"nf4": _NF4_BYTES[True], "int8": 1.0}
"""Bytes of a packed weight of a model that is only read, as a teacher is."""


def never_packed(model: ModelFacts) -> int:
    """Weights of linear layers that transformers keeps out of 4 bits."""
    ends = model.kind.unquantized or ()
    return sum(i * o for name, (i, o) in model.linear_modules.items() if name.endswith(ends))


def packed_bytes(draft: Draft) -> float:
    """Bytes of a packed weight, scales of whole rows left out; 0 where a strategy packs none."""
    match draft.strategy.traits.quantized:
        case None:
            return 0.0
        case Quantized(type="int8"):
            return 1.0
        case Quantized(double=double):
            return _NF4_BYTES[double]
