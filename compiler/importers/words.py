"""Other tools' words for what a recipe can say: strategies, optimizers, schedules."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec import optimizers, schedules, strategies
from ftc.spec.documents.imported import TOOLS, Tool

__all__ = [
    "COMPONENTS",
    "FIELDS",
    "LOW_RANK",
    "OPTIMIZERS",
    "OPTIMIZER_VALUES",
    "SCHEDULES",
    "SCHEDULE_COMPONENTS",
    "SCHEDULE_KINDS",
    "SCHEDULE_VALUES",
    "STRATEGIES",
    "WITHOUT_WARMUP",
    "choose_strategy",
]

STRATEGIES: Mapping[Tool, Mapping[str, str]] = {
    tool: {name: card.kind for card in strategies.STRATEGIES for name in card.foreign_names.get(tool, ())}
    for tool in TOOLS
}
"""Kinds of strategies by a tool's words for them."""

FIELDS: Mapping[str, frozenset[str]] = {
    card.kind: frozenset(card.recipe.model_fields) for card in strategies.STRATEGIES
}
"""Keys of a strategy in a recipe, by its kind."""

LOW_RANK = tuple(kind for kind, fields in FIELDS.items() if {"rank", "alpha", "dora"} <= fields)
"""Kinds of strategies that LoRA's own keys shape, as other tools have them."""

OPTIMIZERS: Mapping[str, str] = {name: card.kind for card in optimizers.OPTIMIZERS for name in card.names.trainer}
"""Kinds of optimizers by the words of transformers' trainer, which most tools hand on."""

COMPONENTS: Mapping[str, str] = {name: card.kind for card in optimizers.OPTIMIZERS for name in card.names.component}
"""Kinds of optimizers by the paths of classes that torchtune's configurations name."""

OPTIMIZER_VALUES: Mapping[str, Mapping[str, tuple[float, str]]] = {
    card.kind: card.names.values for card in optimizers.OPTIMIZERS
}
"""Values that these tools set otherwise than ftc, by kind of optimizer and key, with the reason."""

SCHEDULE_KINDS = tuple(card.kind for card in schedules.SCHEDULES)
"""Every kind of schedule."""

SCHEDULES: Mapping[str, str] = {name: card.kind for card in schedules.SCHEDULES for name in card.names}
"""Kinds of schedules by the words of transformers' trainer."""

WITHOUT_WARMUP = frozenset(name for card in schedules.SCHEDULES for name in card.without_warmup)
"""Those of these words that mean a schedule without a warm-up."""

SCHEDULE_COMPONENTS: Mapping[str, str] = {name: card.kind for card in schedules.SCHEDULES for name in card.components}
"""Kinds of schedules by the ends of the paths of functions that torchtune's configurations name."""

SCHEDULE_VALUES: Mapping[str, Mapping[str, tuple[float, str]]] = {
    card.kind: card.foreign_values for card in schedules.SCHEDULES
}
"""Values that these tools set otherwise than ftc, by kind of schedule and key, with the reason."""


def choose_strategy(tool: Tool) -> str:
    """What a tool's user can do where ftc has no such strategy."""
    *others, last = STRATEGIES[tool]
    return f"choose {', '.join(others)} or {last}"
