"""torch's half of precisions: types, and arithmetic under autocast. The pure half is `ftc.spec.precisions`."""

from __future__ import annotations

import torch

from ftc.spec.precisions import NumberType, precision_card

__all__ = ["mixed_precision", "torch_type"]


def torch_type(one: NumberType) -> torch.dtype:
    """torch's type, which has the same name."""
    found: torch.dtype = getattr(torch, one.name)
    return found


def mixed_precision(precision: str, device: torch.device) -> torch.autocast:
    """torch's autocast for a plan's precision; does nothing for float32."""
    card = precision_card(precision)
    return torch.autocast(
        device.type, dtype=torch_type(card.products) if card.is_mixed else None, enabled=card.is_mixed
    )
