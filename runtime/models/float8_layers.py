"""torchao's half of training in float8: which linear layers multiply in 8 bits, and how."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.quantized_layers import quiet_torchao
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.precisions import computes_in_float8, precision_card
from ftc.spec.quantized_weights import TORCHAO

__all__ = ["multiply_in_float8"]


def multiply_in_float8(model: nn.Module, precision: str) -> list[str]:
    """Has linear layers whose weights are trained multiply in 8 bits, by torchao.

    Weights stay as they are, and so do their names. Validation and test compute as without.

    Args:
        model: What is trained of it is marked.
        precision: Of the plan.

    Returns:
        The layers' names.

    Raises:
        Refusal: torchao isn't installed (FTC650).
    """
    if find_spec(TORCHAO) is None:
        summary = f"`precision: {precision}` needs the package `{TORCHAO}`"
        raise Refusal([diagnostic("FTC650", summary, help=f"`pip install 'ftc[{TORCHAO}]'` installs it")])
    with quiet_torchao():
        from torchao.float8 import Float8LinearConfig

    card = precision_card(precision).float8
    assert card is not None, "the plan has layers in float8"
    # A batch has any number of tokens, and cuBLAS multiplies multiples of 16.
    config = replace(Float8LinearConfig.from_recipe_name(card.recipe), pad_inner_dim=True)
    names = []
    for name, layer in model.named_modules():
        is_linear = isinstance(layer, nn.Linear) and computes_in_float8(name, layer.in_features, layer.out_features)
        if is_linear and layer.weight.requires_grad:
            names.append(name)
    for name in names:
        place, _, last = name.rpartition(".")
        setattr(model.get_submodule(place), last, _layer_class().from_float(model.get_submodule(name), config))
    return names


@cache
def _layer_class() -> Any:
    """torchao's layer, which multiplies in float8 while it is trained; importing torchao takes seconds."""
    with quiet_torchao():
        from torchao.float8.float8_linear import Float8Linear

    class TrainedInFloat8(Float8Linear):  # type: ignore[misc]
        """In training as torchao has it, and otherwise as a linear layer.

        torchao asks whether a GPU's arithmetic is mixed, and means any.
        """

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return nn.functional.linear(inputs, self.weight, self.bias)
            kind = "cuda" if inputs.is_cuda else "cpu"
            mixed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
            computed: torch.Tensor = super().forward(inputs.to(mixed))
            return computed

    return TrainedInFloat8
