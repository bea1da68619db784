"""Which linear layers multiply in 8 bits in training, where the precision says so."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import Float8Settings
from ftc.spec.precisions import FIRST_CHOICE, asks_float8, computes_in_float8

__all__ = ["check_float8", "float8_modules", "float8_settings"]


def float8_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """What is computed in 8 bits; nothing where nothing is."""
    if not asks_float8(draft.recipe.train.precision):
        return {}
    reason = "trained linear layers of the model's own layers, whose widths are multiples of 16"
    found = why.derive("float8.num_modules", len(_layers(draft)), reason)
    return {"float8": Float8Settings(num_modules=found)}


def float8_modules(draft: Draft) -> frozenset[str]:
    """Names of the linear layers that multiply in 8 bits in training."""
    return _layers(draft) if draft.train.float8 is not None else frozenset()


def _layers(draft: Draft) -> frozenset[str]:
    sizes = draft.model.linear_modules
    return frozenset(name for name in draft.trained.own & sizes.keys() if computes_in_float8(name, *sizes[name]))


def check_float8(draft: Draft) -> Draft:
    """There are layers that can multiply in 8 bits."""
    asked, path = draft.train.float8, "train.precision"
    if asked is None:
        return draft
    help = f"write `precision: {FIRST_CHOICE.kind}`, or choose another model"
    if draft.model.experts is not None:
        summary = f"torchao doesn't multiply experts in float8, which a `{draft.model.model_type}` model has"
        return draft.find("FTC258", summary, path, help=help)
    if draft.model.kind.transposed:
        model = f"`{draft.model.model_type}` model"
        summary = f"torchao multiplies no layers of a {model} in float8: they hold (inputs, outputs) weights"
        return draft.find("FTC258", summary, path, help=help)
    if not asked.num_modules:
        summary = f"no trained linear layer in the layers of `{draft.model.name}` has widths that are multiples of 16"
        return draft.find("FTC258", summary, path, help=f"write `precision: {FIRST_CHOICE.kind}`, or train `full`")
    return draft
