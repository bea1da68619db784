"""What a mixture of experts adds to the memory of a layer, from the shapes of its tensors: pure arithmetic.

transformers multiplies all experts of a layer in one grouped product: each token's states stand there once for each
expert that it goes to. So sizes follow from how many experts a token goes to, and not from which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ftc.compiler.draft import ClosedDraft
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.module_names import part_of, role_of
from ftc.spec.precisions import precision_card

__all__ = [
    "dense_inner",
    "expert_sums",
    "expert_weights",
    "inner_width",
    "product_width",
    "routed_bytes",
    "saved_bytes",
    "through_bytes",
]

_FP32 = 4


def expert_weights(model: ModelFacts) -> int:
    """Weights of all experts; 0 in a dense model."""
    return sum(model.experts.layers.values()) if model.experts else 0


def expert_sums(draft: ClosedDraft, tokens: int) -> dict[str, int]:
    """What adapters of experts take, in the closed form's terms: each layer's experts once more, the product added.

    The sum is as wide as the experts and kept until the backward pass, as is what its product with tokens reads. Where
    layers are computed again, and while measuring, one layer's is there.

    Args:
        draft: With all its choices made.
        tokens: Of a micro-batch.
    """
    width, beside = precision_card(draft.train.precision).products.size, draft.trained.beside
    adapted = {name: beside[name] for name in draft.model.expert_matrices.keys() & beside.keys()}
    if not adapted or draft.model.experts is None:
        return {}
    layers = Counter[int]()
    for name, one in adapted.items():
        layers[part_of(name).layer] += width * one.keeps_once
    read = width * tokens * draft.model.experts.chosen * sum(one.inputs for one in adapted.values())
    largest = max(layers.values())
    again = checkpointing_card(draft.candidate.activation_checkpointing).recomputes
    return {"rounded": layers.total() + read, "rounding": largest if again else 0, "summed": largest}


def dense_inner(linear: Mapping[str, tuple[int, int]]) -> list[int]:
    """Widths of feed-forward parts that are linear layers: of dense layers, and of experts that all tokens share."""
    return [inputs for name, (inputs, _) in linear.items() if role_of(name) == "feed_forward_out"]


def inner_width(model: ModelFacts, linear: Mapping[str, tuple[int, int]]) -> int:
    """Width between the halves of a feed-forward part: of all experts that a token goes through together."""
    if model.experts is None:
        return model.intermediate_size
    return max(model.experts.chosen * model.experts.inner, *dense_inner(linear), 1)


def saved_bytes(model: ModelFacts, width: int, *, trained: bool) -> int:
    """Saved of a token in all layers, by silu and mul between grouped products, and by that with the router's weights.

    Grouped products keep their inputs where weights are trained; mixed precision leaves these in float32.

    Args:
        model: Whose experts; dense ones have none.
        width: Bytes of what a linear layer gives.
        trained: Whether the experts' weights are trained.
    """
    if (experts := model.experts) is None:
        return 0
    h, inner = model.hidden_size, experts.inner
    each = _FP32 * (4 * inner + 2 * h) if trained else width * (3 * inner + h)
    return len(experts.layers) * experts.chosen * each


def product_width(model: ModelFacts) -> int:
    """Numbers that the grouped products of all layers give for a token; 0 in a dense model."""
    if (experts := model.experts) is None:
        return 0
    first = (size // (experts.count * model.hidden_size) - experts.inner for size in experts.layers.values())
    return experts.chosen * sum(inner + model.hidden_size for inner in first)


def routed_bytes(model: ModelFacts, width: int, *, trained: bool) -> int:
    """A token's states once for each expert that it goes to, as they come and as they go; 0 in a dense model."""
    if model.experts is None:
        return 0
    return 2 * model.experts.chosen * model.hidden_size * (_FP32 if trained else width)


def through_bytes(model: ModelFacts, width: int, linear: int) -> int:
    """A token's largest moment in grouped products of which nothing is kept; 0 in a dense model.

    Between them its states stand once for each expert that it goes to, and tensors as wide as an expert. Behind them
    there are these states, what experts gave, that times the router's shares, and the same in the order of tokens.

    Args:
        model: Whose experts.
        width: Bytes of a number of the states.
        linear: Bytes of one that a linear layer gives.
    """
    mixture, own = model.kind.experts, model.experts
    if mixture is None or own is None:
        return 0
    between = width * (model.hidden_size + mixture.widths_between * own.inner)
    weighed = max(width, _FP32) if mixture.wide_shares else width
    behind = 2 * (width + weighed) * model.hidden_size
    waiting = linear * model.hidden_size if mixture.shares_first else 0
    return own.chosen * max(between, behind) + waiting
