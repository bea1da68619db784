"""What a model's weights are called in files: transformers 5 renames some while it loads them.

A file with the names of memory is read by transformers 5 alone. To others a weight is missing then, and they fill its
place with random numbers; so what is written has the names of the base's own files.
"""

from __future__ import annotations

from typing import Any

__all__ = ["holds_fused", "names_in_files"]


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


def holds_fused(model: Any) -> bool:
    """Whether weights were put together while the model was loaded, such as all experts of a layer into one."""
    from transformers.core_model_loading import WeightConverter

    return any(isinstance(one, WeightConverter) for one in getattr(model, "_weight_conversions", None) or ())
