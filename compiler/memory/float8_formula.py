"""What casts to 8 bits take, where products are computed in float8 by torchao's own operations."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.float8_choices import float8_modules
from ftc.spec.precisions import precision_card

__all__ = ["float8_bytes"]

_PASSING = 8
"""Bytes of a number that live at once while it is scaled in float32 and limited, until it has 8 bits."""


def float8_bytes(draft: Draft, tokens: int) -> dict[str, int]:
    """What casts take in passing, and the weights that aren't cast to 16 bits, in the closed form's terms.

    Args:
        draft: With the training settled.
        tokens: Of the longest micro-batch.
    """
    sizes = [draft.model.linear_modules[name] for name in float8_modules(draft)]
    if not sizes:
        return {}
    weights = sum(inputs * outputs for inputs, outputs in sizes)
    largest = max(max(inputs * outputs, tokens * max(inputs, outputs)) for inputs, outputs in sizes)
    held = precision_card(draft.train.precision).products.size
    return {"rounding": (_PASSING + held) * largest, "uncast": weights}
