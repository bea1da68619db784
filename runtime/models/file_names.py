"""What a model's weights are called in files: transformers 5 renames some while it loads them, and fuses others.

A file with the names of memory is read by transformers 5 alone. To others a weight is missing then, and they fill its
place with random numbers; so what is written has the names of the base's own files, and of experts, which memory holds
in one tensor for all of a layer, each has its own where it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

__all__ = ["from_files", "holds_fused", "in_files", "names_in_files", "stored_names"]

_MOST_INT32 = 2**31
_WRAPPER = "base_model.model."
"""What peft puts before a model's own names."""


def names_in_files(model: Any) -> dict[str, str]:
    """Names in files by names in memory, where they differ; empty for a model that was loaded with converted weights.

    Args:
        model: A model of transformers, without any wrapper.
    """
    from transformers.core_model_loading import revert_weight_conversion

    if not getattr(model, "_weight_conversions", None) or holds_fused(model):
        return {}
    held = model.state_dict()
    owns = {id(tensor): name for name, tensor in held.items()}
    written = revert_weight_conversion(model, held)
    return {owns[id(tensor)]: name for name, tensor in written.items() if owns[id(tensor)] != name}


def stored_names(model: Any, parameters: Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
    """What parameters are called in files, by their names in memory; a fused one has the names of all its parts.

    The model's class decides and not how it was loaded, so that processes with and without its values agree.

    Args:
        model: A model of transformers, within an adapter's wrapper or not.
        parameters: Those that are asked for; None for all.
    """
    from transformers.core_model_loading import revert_weight_conversion

    inner, wrapper = (model.get_base_model(), _WRAPPER) if hasattr(model, "get_base_model") else (model, "")
    own = dict(model.named_parameters())
    names = own if parameters is None else list(parameters)
    shapes = {name.removeprefix(wrapper): torch.empty(own[name].shape, device="meta") for name in names}
    if holds_fused(inner):
        found = {name: tuple(in_files(inner, {name: shape})) for name, shape in shapes.items()}
    else:
        owns = {id(shape): name for name, shape in shapes.items()}
        found = {owns[id(shape)]: (name,) for name, shape in revert_weight_conversion(inner, shapes).items()}
    plain = {name: name.removeprefix(wrapper) for name in names}
    return {name: found.get(one, (one,)) for name, one in plain.items()}


def holds_fused(model: Any) -> bool:
    """Whether weights are put together while the model is loaded, such as all experts of a layer into one."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter

    known = getattr(model, "_weight_conversions", None)
    if known is None:  # it was made from its configuration
        known = get_model_conversion_mapping(model) if hasattr(model, "config") else []
    return any(isinstance(one, WeightConverter) for one in known)


def in_files(model: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights by names in files, fused ones taken apart; as they are, where a model holds none.

    Args:
        model: A model of transformers, without any wrapper.
        tensors: Some of its weights by names in memory, whole.
    """
    from transformers.core_model_loading import revert_weight_conversion

    if not holds_fused(model):
        return dict(tensors)
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():  # one at a time: no second model is ever held
        found |= revert_weight_conversion(model, {name: tensor})
    return found


def from_files(model: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The other way: weights by names in memory, put together from those of files.

    Where each number goes is read off what `in_files` does with numbers that count them.
    """
    if not holds_fused(model):
        return dict(tensors)
    left, found = dict(tensors), {}
    for name, held in model.state_dict().items():
        places = torch.arange(held.numel(), dtype=torch.int32 if held.numel() < _MOST_INT32 else torch.int64)
        parts = in_files(model, {name: places.view(held.shape)})
        if not left.keys() >= parts.keys():  # it shares another's, which the file has
            continue
        whole = torch.empty(held.numel(), dtype=left[next(iter(parts))].dtype)
        for part, indices in parts.items():
            whole[indices.flatten().long()] = left.pop(part).flatten()
        found[name] = whole.view(held.shape)
    return {**left, **found}
