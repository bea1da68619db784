"""What layers take that stay quantized in memory, as the runtime's packed layers hold and multiply them out."""

from __future__ import annotations

from ftc.spec.documents.facts import ModelFacts

__all__ = ["bytes_of_weight", "unpacking_bytes"]

_WORDS, _SCALED = 4, 2
"""Bytes of a number in a word of its own, and in the type of scales."""


def bytes_of_weight(model: ModelFacts, plain: float) -> float:
    """Bytes of a weight on average.

    Args:
        model: The base model.
        plain: Bytes of one that isn't packed.
    """
    packed = model.packed
    if packed is None:
        return plain
    sizes = [one for name, one in model.linear_modules.items() if packed.holds(name)]
    rest = model.num_parameters - sum(inputs * outputs for inputs, outputs in sizes)
    total = sum(packed.layer_bytes(inputs, outputs) for inputs, outputs in sizes) + rest * plain
    return total / max(model.num_parameters, 1)


def unpacking_bytes(model: ModelFacts, product: int) -> int:
    """What passes while the widest layer is multiplied out: words and their levels, or its scaled and its cast numbers.

    Args:
        model: The base model.
        product: Bytes of an operand of a product.
    """
    packed = model.packed
    if packed is None:
        return 0
    widest = max(ins * outs for name, (ins, outs) in model.linear_modules.items() if packed.holds(name))
    levels = 1 if packed.bits == 4 else 2
    return widest * max(_WORDS + levels, _SCALED + product)
