"""Parts of a model's layers that the closed form of memory has no terms for: told by the names and shapes of tensors.

It knows attention, feed-forward parts and norms: matrices, and vectors called weight or bias. Convolutions, recurrent
states and the like have tensors of other shapes or names, and layers without attention have none of its matrices.
"""

from __future__ import annotations

import re

from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.module_names import part_of

__all__ = ["uncounted_parts"]

_ATTENTION = re.compile(r"attn|attention|\.att\.", re.IGNORECASE)
_KNOWN = frozenset(("weight", "bias", "gamma", "beta", "q_bias", "v_bias", "masked_bias", "inv_freq"))
_NUMBER = re.compile(r".*?\.\d+\.")
_MOST = 3


def uncounted_parts(model: ModelFacts) -> tuple[str, ...]:
    """What isn't counted, in words: names within a layer, at most three, and `…` for more; empty where all is."""
    strange: dict[str, None] = {}
    attending: dict[tuple[str, int], bool] = {}
    for name, tensor in model.tensors.items():
        part = part_of(name)
        if part.kind != "layer":
            continue
        inner, at = _NUMBER.sub("", name, count=1), (part.stack, part.layer)
        attending[at] = attending.get(at, False) or _ATTENTION.search(name) is not None
        if _is_strange(name, tensor):
            strange[f"`{inner}`"] = None
    without = sum(not attends for attends in attending.values())
    found = [*strange, *([f"{without} layer{'s' if without > 1 else ''} without attention"] if without else [])]
    return (*found[:_MOST], *(["…"] if len(found) > _MOST else []))


def _is_strange(name: str, tensor: TensorFacts) -> bool:
    last = name.rpartition(".")[2]
    return last not in _KNOWN or (last == "weight" and len(tensor.shape) > 2)
