"""Which weights a draft trains, counted from the shapes of the base model."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.heads import head_outputs

__all__ = ["num_trainable", "targeted"]


def targeted(draft: Draft) -> dict[str, tuple[int, int]]:
    """The linear layers that get an adapter, by full name: (inputs, outputs)."""
    names = draft.values["strategy.adapter.targets"]
    return {name: size for name, size in draft.model.linear_modules.items() if name.rsplit(".", 1)[-1] in names}


def num_trainable(draft: Draft) -> int:
    """Weights that are trained: adapters by their shapes and modules trained whole, or everything."""
    outputs = head_outputs(draft.values["model.head"], len(draft.labels))
    head = draft.model.hidden_size * outputs + outputs
    if draft.recipe.strategy.kind == "full":
        return draft.model.num_parameters + head
    rank: int = draft.values["strategy.adapter.rank"]
    return head + sum(rank * (inputs + outputs) for inputs, outputs in targeted(draft).values())
