"""Tensor parallelism: how transformers' own plan divides a layer among devices, and what ftc takes of it.

A plan names modules of a layer, each with a style. Layers by columns hold a share of the outputs, and so of attention's
heads; layers by rows behind them take that share and add up what each device has computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["STYLES", "WHOLE", "Style", "divides", "is_whole_plan"]

Style = Literal["columns", "rows", "gathered columns", "summed gradients"]
"""What each device holds of a module: a share of its outputs, a share of its inputs, a share of outputs that are put
together behind it, or all of a norm of heads, of which each device sees its own."""

STYLES: Mapping[str, Style] = {
    "colwise": "columns",
    "rowwise": "rows",
    "colwise_gather_output": "gathered columns",
    "colwise_rep": "gathered columns",
    "replicated_with_grad_allreduce": "summed gradients",
}
"""Styles of transformers' plans that ftc knows, by the names that they have there."""
WHOLE = ("embedding_rowwise", "embedding_colwise")
"""Styles of embeddings, which each device holds whole: the output layer may share their weights."""
_INSIDE: frozenset[Style] = frozenset(("columns", "rows", "summed gradients"))
"""Styles of a layer in which each device computes a share of the heads; the other is for an output layer."""


def is_whole_plan(plan: Mapping[str, str] | None) -> bool:
    """Whether a plan of a model's layers is one that ftc can follow.

    Args:
        plan: transformers' `base_model_tp_plan` of a configuration: style by module; None for a model without one.
    """
    found = {STYLES.get(style) for style in (plan or {}).values() if style not in WHOLE}
    return {"columns", "rows"} <= found <= _INSIDE


def divides(width: int, devices: int) -> bool:
    """Whether a width of a layer, its heads or a vocabulary can be shared by so many devices."""
    return width % devices == 0
