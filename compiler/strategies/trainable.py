"""Which weights a draft trains, counted from the shapes of the base model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.models.linear_modules import head_parts
from ftc.compiler.strategies.heads import head_size
from ftc.compiler.strategies.low_rank import by_name
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.heads import head_card
from ftc.spec.module_names import part_of, role_of
from ftc.spec.strategy import VIRTUAL_TOKENS, WHOLE_MODEL

__all__ = [
    "adapted",
    "adapter_ranks",
    "held",
    "lies_in",
    "norms",
    "num_inside",
    "num_trainable",
    "rank_of",
    "result_bytes",
    "stacks",
    "targeted",
    "trained_layers",
]

_NO_WEIGHTS = frozenset(("final_logits_bias", "inv_freq", "masked_bias", "position_ids"))
"""Last parts of names of stored tensors that nobody trains."""


def held(draft: Draft) -> dict[str, TensorFacts]:
    """Stored weights that the task's model holds: a tagger has no pooler, and no classifier an output over words."""
    head = head_card(draft.loaded.head)
    weights = {n: tensor for n, tensor in draft.model.tensors.items() if n.rpartition(".")[2] not in _NO_WEIGHTS}
    if not head.is_new:
        return weights
    kind = draft.model.kind
    kept = kind.classifier_keeps if head.scores_rows else kind.tagger_keeps
    return {name: tensor for name, tensor in weights.items() if set(kept or ()).issuperset(head_parts(name))}


def targeted(draft: Draft) -> dict[str, tuple[int, int]]:
    """The linear layers that get a low-rank adapter, by full name: (inputs, outputs)."""
    names = draft.values["strategy.adapter.targets"]
    return {name: size for name, size in draft.model.linear_modules.items() if name.rsplit(".", 1)[-1] in names}


def rank_of(draft: Draft, name: str) -> int:
    """Rank of an adapted layer's update."""
    ranks: dict[str, int] = draft.values["strategy.adapter.ranks"]
    own = by_name(ranks, name)
    rank: int = draft.values["strategy.adapter.rank"] if own is None else ranks[own]
    return rank


def adapted(draft: Draft) -> dict[str, tuple[int, int]]:
    """The linear layers that a strategy changes, whatever it is, by full name: (inputs, outputs)."""
    linear = draft.model.linear_modules
    match draft.recipe.strategy.kind:
        case "lora" | "qlora":
            return targeted(draft)
        case "ia3":
            roles = {"keys_values", "feed_forward_out"}
        case "bottleneck" if draft.values["strategy.placement"] == "houlsby":
            roles = {"attention_out", "feed_forward_out"}
        case "bottleneck":
            roles = {"feed_forward_out"}
        case _:
            return {}
    return {name: size for name, size in linear.items() if role_of(name) in roles}


def adapter_ranks(draft: Draft) -> dict[str, int]:
    """Width of what stands beside or behind each linear layer, by full name; none where that is no layer itself."""
    match draft.recipe.strategy.kind:
        case "lora" | "qlora":
            return {name: rank_of(draft, name) for name in targeted(draft)}
        case "bottleneck":
            size: int = draft.values["strategy.size"]
            return dict.fromkeys(adapted(draft), size)
        case _:
            return {}


def norms(draft: Draft) -> dict[str, int]:
    """Norms by full name, and the weights of each."""
    weights = held(draft)
    modules = [name.removesuffix(".weight") for name, one in weights.items() if _is_norm(name, one)]
    backbone = [module for module in modules if not head_parts(module)]
    return {module: _num_at(weights, module) for module in backbone}


def stacks(model: ModelFacts) -> dict[str, int]:
    """Layers of each stack, by what its names begin with."""
    found: dict[str, int] = {}
    for name in model.tensors:
        part = part_of(name)
        if part.kind == "layer":
            found[part.stack] = max(found.get(part.stack, 0), part.layer + 1)
    return found


def lies_in(tensor: str, end: str) -> bool:
    """Whether a tensor is a module's own, or of one inside it; the module by the end of its name."""
    return f".{end}." in f".{tensor}"


def num_inside(model: ModelFacts, end: str) -> int:
    """Weights of all modules whose names have this end; 0 where there is no such module."""
    return sum(tensor.num_elements for name, tensor in model.tensors.items() if lies_in(name, end))


def num_trainable(draft: Draft) -> int:
    """Weights that are trained, a new head among them."""
    return _num_of_head(draft) + _num_of_base(draft)


def result_bytes(draft: Draft) -> int:
    """Bytes of the weights that a run leaves behind, in float32: all, or those learnt beside a base."""
    if draft.recipe.strategy.kind in WHOLE_MODEL:
        return 4 * (_num_of_head(draft) + _size(held(draft)))
    if draft.recipe.strategy.kind in VIRTUAL_TOKENS:
        return 4 * (_num_of_head(draft) + _num_kept_virtual(draft))
    return 4 * num_trainable(draft)


def _num_of_head(draft: Draft) -> int:
    """Weights of a new head; none where the model's own is used."""
    return head_size(draft.loaded.head, draft.model, len(draft.labels))


def _num_of_base(draft: Draft) -> int:
    match draft.recipe.strategy.kind:
        case "full":
            return _size(held(draft))
        case "partial":
            return _size(_last_layers(draft))
        case "bitfit":
            return _size({name: one for name, one in held(draft).items() if _is_bias(name, one)})
        case "ln_tuning":
            return sum(norms(draft).values())
        case "lora" | "qlora":
            return _num_low_rank(draft)
        case "ia3":
            return sum(
                inputs if role_of(name) == "feed_forward_out" else outputs
                for name, (inputs, outputs) in adapted(draft).items()
            )
        case "bottleneck":
            middle = draft.values["strategy.size"]
            return sum(2 * width * middle + middle + width for _, width in adapted(draft).values())
        case _:
            return _num_virtual(draft)


def _num_low_rank(draft: Draft) -> int:
    """Two matrices a layer, a length for each row where they are learnt, and modules trained whole."""
    values: dict[str, Any] = dict(draft.values)
    lengths = 1 if values["strategy.adapter.dora"] else 0
    adapters = sum(
        rank_of(draft, name) * (inputs + outputs) + lengths * outputs
        for name, (inputs, outputs) in targeted(draft).items()
    )
    return adapters + sum(num_inside(draft.model, end) for end in values["strategy.adapter.also_trained"])


def _num_virtual(draft: Draft) -> int:
    """Embeddings of virtual tokens, or their keys and values in each layer, with the network that makes either."""
    values: dict[str, Any] = dict(draft.values)
    kept = _num_kept_virtual(draft)
    match draft.recipe.strategy.kind:
        case "p_tuning":
            return kept + _num_of_encoder(draft.model.hidden_size, values["strategy.encoder_size"], values)
        case "prefix_tuning" if middle := values["strategy.projection_size"]:
            tokens, outputs = values["strategy.virtual_tokens"], kept // values["strategy.virtual_tokens"]
            width = outputs // (2 * values["strategy.num_layers"])
            return int(tokens * width + (width + 1) * middle + (middle + 1) * outputs)
        case _:
            return kept


def _num_kept_virtual(draft: Draft) -> int:
    """What virtual tokens come to once they are learnt. peft gives encoder and decoder tokens of their own."""
    model, tokens = draft.model, draft.values["strategy.virtual_tokens"]
    if draft.recipe.strategy.kind == "prefix_tuning":
        return int(tokens * draft.values["strategy.num_layers"] * 2 * model.num_kv_heads * model.head_dim)
    sides = 2 if model.family == "encoder_decoder" and head_card(draft.loaded.head).writes else 1
    return int(sides * tokens * model.hidden_size)


def _num_of_encoder(width: int, middle: int, values: Mapping[str, Any]) -> int:
    """Weights of p-tuning's network between embeddings of a width."""
    if values["strategy.encoder"] == "mlp":
        return (width + 1) * middle + (middle + 1) * middle + (middle + 1) * width
    gates = sum(2 * 4 * middle * (inputs + middle + 2) for inputs in (width, 2 * middle))  # both ways, two biases
    return gates + (2 * middle + 1) * 2 * middle + (2 * middle + 1) * width


def trained_layers(draft: Draft) -> frozenset[str]:
    """Linear layers whose own weights are trained, by full name."""
    match draft.recipe.strategy.kind:
        case "full":
            return frozenset(draft.model.linear_modules)
        case "partial":
            names = {name.rpartition(".")[0] for name in _last_layers(draft)}
            return frozenset(names.intersection(draft.model.linear_modules))
        case _:
            return frozenset()


def _last_layers(draft: Draft) -> dict[str, TensorFacts]:
    """Weights of the last layers and behind them, and embeddings where they are trained."""
    layers, depths = draft.values["strategy.layers"], stacks(draft.model)
    found = {}
    for name, tensor in held(draft).items():
        part = part_of(name)
        if part.kind == "layer":
            is_trained = layers == "all" or part.layer >= depths[part.stack] - layers
        else:
            is_trained = part.kind == "output" or draft.values["strategy.embeddings"]
        if is_trained:
            found[name] = tensor
    return found


def _size(tensors: Mapping[str, TensorFacts]) -> int:
    return sum(tensor.num_elements for tensor in tensors.values())


def _num_at(tensors: Mapping[str, TensorFacts], module: str) -> int:
    return sum(tensors[name].num_elements for name in (f"{module}.weight", f"{module}.bias") if name in tensors)


def _is_norm(name: str, tensor: TensorFacts) -> bool:
    return name.endswith(".weight") and len(tensor.shape) == 1


def _is_bias(name: str, tensor: TensorFacts) -> bool:
    return name.rpartition(".")[2] == "bias" and len(tensor.shape) == 1
