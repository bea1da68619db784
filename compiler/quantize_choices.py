"""How weights are rounded in training, as they will be when they are exported."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import QuantizeAwareSettings
from ftc.spec.quantized_weights import is_quantized, quantized_weights

__all__ = ["check_rounded", "quantize_settings", "rounded_modules"]


def quantize_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How weights are rounded; nothing where they aren't."""
    asked = draft.recipe.train.quantize_aware
    if asked is None:
        return {}
    usual, path = quantized_weights(asked.weights).group_size, "train.quantize_aware.group_size"
    if usual is None:
        size = why.derive("quantize_aware.group_size", None, "a row has one scale")
    elif asked.group_size == "auto":
        size = why.derive("quantize_aware.group_size", usual, "the most exact that kernels for 4 bits have")
    else:
        size = why.take("quantize_aware.group_size", asked.group_size, path)
    count = sum(is_quantized(name, one[0], size) for name, one in draft.model.linear_modules.items())
    found = QuantizeAwareSettings(
        weights=why.take("quantize_aware.weights", asked.weights, "train.quantize_aware.weights"),
        group_size=size,
        num_modules=why.derive("quantize_aware.num_modules", count, "linear layers of the model's own layers"),
    )
    return {"quantize_aware": found}


def rounded_modules(draft: Draft) -> dict[str, int]:
    """Weights of each linear layer that is rounded in training, by name."""
    asked = draft.train.quantize_aware
    if asked is None:
        return {}
    sizes = draft.model.linear_modules.items()
    return {name: ins * outs for name, (ins, outs) in sizes if is_quantized(name, ins, asked.group_size)}


def check_rounded(draft: Draft) -> Draft:
    """There are layers to round, and they hold the model's weights."""
    asked, path = draft.train.quantize_aware, "train.quantize_aware"
    if asked is None:
        return draft
    if draft.model.experts is not None:
        summary = f"torchao doesn't round experts, which a `{draft.model.model_type}` model has"
        return draft.find("FTC258", summary, path, help="remove `quantize_aware`, or choose a model without experts")
    if draft.model.kind.transposed:
        summary = f"torchao rounds no layers of a `{draft.model.model_type}` model: they hold (inputs, outputs) weights"
        return draft.find("FTC258", summary, path, help="remove `quantize_aware`, or choose another model")
    if not asked.num_modules:
        summary = f"no linear layer of `{draft.model.name}` has rows of a multiple of {asked.group_size} weights"
        help = "write a smaller `group_size`, or `weights: int8`, which has a scale for each row"
        return draft.find("FTC258", summary, f"{path}.group_size", help=help)
    whose = f"evaluations round the base model's weights to {asked.weights} too, as they do the tuned model's"
    return draft.miss(f"the base model without rounded weights: {whose}") if draft.recipe.eval.baseline else draft
