"""What of a model the analytical estimate of memory has no terms for."""

from __future__ import annotations

import re

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.module_names import part_of

__all__ = ["uncounted_parts"]

_ATTENTION = re.compile(r"attn|attention|\.att\.", re.IGNORECASE)
_COUNTED = frozenset(("weight", "bias", "gamma", "beta", "q_bias", "v_bias", "masked_bias", "inv_freq"))
_NUMBER = re.compile(r".*?\.\d+\.")
_MOST_NAMED = 3
"""Parts that are named of those that the formula doesn't count."""


def uncounted_parts(model: ModelFacts) -> tuple[str, ...]:
    """What the formula has no terms for, in words: names within a layer, at most three, and `…` for more.

    It knows attention, feed-forward parts and norms: matrices, and vectors called weight or bias. Convolutions and
    recurrent states have tensors of other shapes or names, and layers without attention have none of its matrices.
    """
    strange: dict[str, None] = {}
    attending: dict[tuple[str, int], bool] = {}
    mixture = model.kind.experts
    for name, tensor in model.tensors.items():
        part = part_of(name)
        if part.kind != "layer" or (mixture and (mixture.is_expert(name) or mixture.is_router(name))):
            continue
        inner, at = _NUMBER.sub("", name, count=1), (part.stack, part.layer)
        attending[at] = attending.get(at, False) or _ATTENTION.search(name) is not None
        last = name.rpartition(".")[2]
        if last not in _COUNTED or (last == "weight" and len(tensor.shape) > 2):
            strange[f"`{inner}`"] = None
    without = sum(not attends for attends in attending.values())
    found = [*strange, *([f"{without} layer{'s' if without > 1 else ''} without attention"] if without else [])]
    return (*found[:_MOST_NAMED], *(["…"] if len(found) > _MOST_NAMED else []))
