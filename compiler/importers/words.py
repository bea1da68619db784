"""Other tools' words for what a recipe can say: strategies, optimizers, schedules."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec import optimizers, schedules, strategies, tasks
from ftc.spec.documents.imported import TOOLS, Tool
from ftc.spec.tasks.card import TaskSection

__all__ = [
    "COMPONENTS",
    "FIELDS",
    "LAST_LAYERS",
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
    "low_rank_kind",
    "named_task",
    "strategy_called",
    "task_of",
]

STRATEGIES: Mapping[Tool, Mapping[str, str]] = {
    tool: {name: card.kind for card in strategies.STRATEGIES for name in card.foreign_names.get(tool, ())}
    for tool in TOOLS
}
"""Kinds of strategies by a tool's words for them; the empty word stands for none at all."""

_PEFT: Mapping[str, str] = {
    name: card.kind for card in strategies.STRATEGIES for name in card.foreign_names.get("peft", ())
}
"""Kinds of strategies by peft's words, which tools hand on to it."""

FIELDS: Mapping[str, frozenset[str]] = {
    card.kind: frozenset(card.recipe.model_fields) for card in strategies.STRATEGIES
}
"""Keys of a strategy in a recipe, by its kind."""

LOW_RANK = tuple(kind for kind, fields in FIELDS.items() if {"rank", "alpha", "dora"} <= fields)
"""Kinds of strategies that LoRA's own keys shape, as other tools have them."""

LAST_LAYERS = next(kind for kind, fields in FIELDS.items() if "layers" in fields)
"""The kind of strategy that trains the last layers alone."""

_TASKS: Mapping[str, type[TaskSection]] = {
    name.lower(): task for task in tasks.TASKS for name in (task.name(), *task.CARD.foreign_names)
}
"""Tasks by their names here and elsewhere, in lower case."""

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
    *others, last = filter(None, STRATEGIES[tool])
    return f"choose {', '.join(others)} or {last}"


def strategy_called(tool: Tool, word: str) -> str | None:
    """The kind of strategy by a tool's word, or by the word of peft, to which tools hand adapters on."""
    return STRATEGIES[tool].get(word) or _PEFT.get(word.lower())


def low_rank_kind(*, quantized: bool) -> str:
    """The kind of strategy that LoRA's keys shape, beside weights of fewer bits or not."""
    return next(kind for kind in LOW_RANK if ("quantization" in FIELDS[kind]) is quantized)


def task_of(*parts: str) -> str:
    """The task for which rows of these parts usually are, among those whose rows are imported."""
    return next(task.name() for task in tasks.TASKS if task.CARD.is_imported and parts in task.CARD.row_forms)


def named_task(word: str) -> tuple[str, bool, str] | None:
    """A task by anybody's word for it: its name, whether its rows are imported, and what its user can do."""
    task = _TASKS.get(word.lower())
    if task is None:
        return None
    named, is_imported = f"`{word}` is the task `{task.name()}` in ftc", task.CARD.is_imported
    if is_imported:
        return task.name(), True, f"{named}; say `--task {task.name()}` if the rows are for it"
    return task.name(), False, f"{named}, whose rows are not imported: write the recipe by hand, from `ftc init`"
