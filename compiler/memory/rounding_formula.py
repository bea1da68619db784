"""What rounding weights in training takes, by torchao's own operations as autograd sees them."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.quantize_choices import rounded_modules
from ftc.spec.precisions import precision_card

__all__ = ["rounding_bytes"]

_PASSING = 3
"""Copies of a weight that live at once while it is rounded."""
_SUM = 2
"""The same of an adapter's product, and of its sum with the weight."""


def rounding_bytes(draft: Draft) -> dict[str, int]:
    """What is kept until the backward pass and what is taken in passing, in the closed form's terms.

    Of a weight that is trained, by itself or by an adapter that is added to it, its number before it is clipped, which
    tells where gradients pass; and of each the rounded weight. Products may have a cast of it, which is counted with
    all others where the model's own weights are trained.
    """
    modules = rounded_modules(draft)
    if not modules:
        return {}
    card, own, beside = precision_card(draft.train.precision), draft.trained.own, draft.trained.beside
    size, trained = card.trained.size, sum(count for name, count in modules.items() if name in own or name in beside)
    if beside:
        kept = size * trained + card.products.size * sum(modules.values())
        return {"rounded": kept, "rounding": (_PASSING + _SUM) * size * max(modules.values())}
    used = 0 if card.is_mixed else trained if draft.trained.products else sum(modules.values())
    return {"rounded": size * (trained + used), "rounding": _PASSING * size * max(modules.values())}
