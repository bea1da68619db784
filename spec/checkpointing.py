"""Activation checkpointing: one card for each way in which a layer's activations reach the backward pass.

Each step keeps less and computes more again. The torch half is `ftc.runtime.models.recomputing`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["CHECKPOINTING", "Checkpointing", "Recomputing", "checkpointing_card"]

Recomputing = bool | Literal["selective"]
"""Its value in recipes and plans."""


class Checkpointing(NamedTuple):
    """One way.

    Attributes:
        value: What recipes and plans write.
        label: What a plan calls it; None for the usual way, which needs no word.
        recomputes: Whether layers run forward once more in the backward pass. Then what stands between layers is kept.
        keeps_products: Whether the results of the layers' large products are kept as well, so that these aren't
            computed again: linear layers, and attention where one kernel computes it. What is left to compute is
            cheap: norms, rotations, activations, dropout, casts, and the second products of adapters.
        compiles: Whether layers can be compiled with it: compiled code has no operators of which something is kept.
        chosen: Why the solver takes it, where the job fits with it.
    """

    value: Recomputing
    label: str | None
    recomputes: bool
    keeps_products: bool
    compiles: bool
    chosen: str


CHECKPOINTING: tuple[Checkpointing, ...] = (
    Checkpointing(
        value=False,
        label=None,
        recomputes=False,
        keeps_products=True,
        compiles=True,
        chosen="the job fits without it",
    ),
    Checkpointing(
        value="selective",
        label="selective activation checkpointing",
        recomputes=True,
        keeps_products=True,
        compiles=False,
        chosen="the fastest candidate that fits keeps the results of large products, and computes the rest again",
    ),
    Checkpointing(
        value=True,
        label="activation checkpointing",
        recomputes=True,
        keeps_products=False,
        compiles=True,
        chosen="the fastest candidate that fits uses it",
    ),
)
"""All of them, what keeps most first."""


def checkpointing_card(value: Recomputing) -> Checkpointing:
    """The card of a value."""
    return next(card for card in CHECKPOINTING if card.value is value or card.value == value)
