"""What a strategy trains of a model, counted: what stands beside its layers, and what all of it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Beside", "Trained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside, before or behind one linear layer.

    Attributes:
        inputs, outputs: Widths of what comes into it and of what goes out.
        width: Width of its middle; 0 where it has none.
        scales: Whether it only multiplies what comes in or goes out, number by number.
        forward: Multiplications a token.
        backward: Multiplications a token in the backward pass, for what it learns.
        through: Multiplications a token in the backward pass, for the gradient of the layer's input.
        once: Multiplications a forward pass, whatever the rows.
        once_backward: Multiplications a backward pass, whatever the rows.
        turns_input: Whether the frozen layer reads what it made of the input, so that gradients go through the layer.
        keeps_input: Whether the backward pass needs what comes in.
        casts_input: Whether mixed precision casts what comes in for it alone, and not once for all that read it.
        keeps: Further numbers a token that the backward pass needs.
        keeps_once: Numbers that the backward pass needs, whatever the rows.
        casts_once: Frozen numbers of its own that mixed precision casts in each pass, and the backward pass needs.
        sums: Further results as wide as what goes out, in float32, that are there at once while it is added.
    """

    inputs: int
    outputs: int
    width: int
    scales: bool
    forward: int
    backward: int
    through: int
    once: int
    once_backward: int
    turns_input: bool
    keeps_input: bool
    casts_input: bool
    keeps: int
    keeps_once: int
    casts_once: int
    sums: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What is trained of a model, and what that costs.

    Attributes:
        num_weights: Weights that are trained, those of a new head left out.
        num_saved: Weights that the run leaves behind, those of a new head left out.
        num_frozen: Further weights that the adapter brings along and never changes.
        beside: What stands beside linear layers, by the layers' full names.
        own: Linear layers whose own weights are trained, by full name.
        names: Full names of the stored weights that are trained, and of the modules beside which something is.
        from_start: Whether something is learned at or before the first layer, so that gradients go all the way down.
        first_behind: Whether the first thing that is learned stands behind the first layer.
        last_layers: Layers of each stack whose activations the backward pass needs; None for all.
        products: Whether weights of linear layers are trained where the base's own weights are.
        norms: Whether weights of norms are trained, and none of linear layers.
        dropout: Whether adapters drop some of their input.
    """

    num_weights: int
    num_saved: int
    num_frozen: int
    beside: Mapping[str, Beside]
    own: frozenset[str]
    names: frozenset[str]
    from_start: bool
    first_behind: bool
    last_layers: int | None
    products: bool
    norms: bool
    dropout: bool
