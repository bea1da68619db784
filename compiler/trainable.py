"""Which weights a draft trains, counted from the shapes of the base model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ftc.compiler.draft import Draft
from ftc.compiler.heads import head_outputs
from ftc.spec.facts import ModelFacts

__all__ = ["by_name", "num_inside", "num_trainable", "rank_of", "targeted"]


def by_name(ends: Collection[str], name: str) -> str | None:
    """The longest of these ends of names that a module's name has, in whole parts; None where it has none."""
    fitting = [end for end in ends if name == end or name.endswith(f".{end}")]
    return max(fitting, key=len, default=None)


def targeted(draft: Draft) -> dict[str, tuple[int, int]]:
    """The linear layers that get an adapter, by full name: (inputs, outputs)."""
    names = draft.values["strategy.adapter.targets"]
    return {name: size for name, size in draft.model.linear_modules.items() if name.rsplit(".", 1)[-1] in names}


def rank_of(draft: Draft, name: str) -> int:
    """Rank of an adapted layer's update."""
    ranks: dict[str, int] = draft.values["strategy.adapter.ranks"]
    own = by_name(ranks, name)
    rank: int = draft.values["strategy.adapter.rank"] if own is None else ranks[own]
    return rank


def num_inside(model: ModelFacts, end: str) -> int:
    """Weights of all modules whose names have this end; 0 where there is no such module."""
    return sum(tensor.num_elements for name, tensor in model.tensors.items() if _lies_in(name, end))


def num_trainable(draft: Draft) -> int:
    """Weights that are trained: adapters by their shapes and modules trained whole, or everything."""
    outputs = head_outputs(draft.values["model.head"], len(draft.labels))
    head = draft.model.hidden_size * outputs + outputs
    if draft.recipe.strategy.kind == "full":
        return draft.model.num_parameters + head
    return head + _num_low_rank(draft)


def _num_low_rank(draft: Draft) -> int:
    """Two matrices a layer, a length for each row where they are learnt, and modules trained whole."""
    values: dict[str, Any] = dict(draft.values)
    lengths = 1 if values["strategy.adapter.dora"] else 0
    adapters = sum(
        rank_of(draft, name) * (inputs + outputs) + lengths * outputs
        for name, (inputs, outputs) in targeted(draft).items()
    )
    return adapters + sum(num_inside(draft.model, end) for end in values["strategy.adapter.also_trained"])


def _lies_in(tensor: str, end: str) -> bool:
    """Whether a tensor is a module's own, or of one inside it."""
    return f".{end}." in f".{tensor}"
