"""What the weight files say about a model's layers, for a trace that builds the model from its config.json."""

from __future__ import annotations

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.module_names import part_of

__all__ = ["layer_weights"]


def layer_weights(model: ModelFacts) -> tuple[tuple[int, ...], ...]:
    """Weights in the matrices of each stored layer, a tuple for each stack, an encoder's before its decoder's.

    None are told of a model whose stacks can't be known by the names of its tensors, as where layers share weights.
    """
    found: dict[str, dict[int, int]] = {}
    for name, tensor in model.tensors.items():
        part = part_of(name)
        if part.kind == "layer":
            sizes = found.setdefault(part.stack, {})
            is_matrix = name.endswith("weight") and len(tensor.shape) == 2
            sizes[part.layer] = sizes.get(part.layer, 0) + is_matrix * tensor.num_elements
    stacks = sorted(found, key=lambda stack: "encoder" not in stack.split("."))
    said = [model.num_layers, *([model.num_decoder_layers] if model.num_decoder_layers else [])]
    stored = [tuple(size for _, size in sorted(found[stack].items())) for stack in stacks]
    return tuple(stored) if [len(sizes) for sizes in stored] == said else ()
