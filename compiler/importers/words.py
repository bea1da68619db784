"""Other tools' words for what a recipe can say, and what they name alike: strategies, models, optimizers, schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ftc.compiler.importers.translation import Key, Translation
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
    "AdapterKeys",
    "adapter",
    "attention",
    "base_model",
    "choose_strategy",
    "low_rank",
    "low_rank_kind",
    "named_task",
    "other_adapter",
    "quantization",
    "strategy_called",
    "targets",
    "task_called",
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


def task_called(word: str) -> str:
    """The task by a word for it that other tools use."""
    return _TASKS[word].name()


def named_task(word: str) -> tuple[str, bool, str] | None:
    """A task by anybody's word for it: its name, whether its rows are imported, and what its user can do."""
    task = _TASKS.get(word.lower())
    if task is None:
        return None
    named, is_imported = f"`{word}` is the task `{task.name()}` in ftc", task.CARD.is_imported
    if is_imported:
        return task.name(), True, f"{named}; add `--task {task.name()}` if the rows are for it"
    return task.name(), False, f"{named}, whose rows can't be imported: write the recipe by hand, from `ftc init`"


_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PARAMETER = re.compile(r"\w+(\.\w+)*")
"""Such as `7.mlp.experts.down_proj`, of layer 7."""


@dataclass(frozen=True, slots=True)
class AdapterKeys:
    """Names of the keys that shape a low-rank adapter, and what the tool takes where they are absent."""

    rank: str = "lora_r"
    alpha: str = "lora_alpha"
    dropout: str = "lora_dropout"
    targets: str = "lora_target_modules"
    default_rank: int | None = None
    default_alpha: int | str | None = None
    default_dropout: float = 0.0
    parameters: str = ""
    """Of the tensors of experts that get an adapter; empty where the tool has none."""


def base_model(t: Translation, key: str, revision_key: str | None = None) -> None:
    """The base model: an id on the hub, or a folder of the project."""
    if t.options.base:
        t.add("model.base", t.options.base, "given by --base")
        for known in (key, revision_key or ()):
            t.needless(known, "`--base` names the model")
        return
    base = t.text(key)
    if base is None:
        t.block(key, "no base model is named", "name it with `--base MODEL`")
        return
    if base.startswith("$"):
        t.block(key, f"`{base[:80]}` is a variable without a value in the file", "name the model with `--base MODEL`")
        return
    found = t.around.locate(base)
    if found is None and base.startswith(("/", "~")):
        help = "name an id on the hub, or a folder in the project, with `--base MODEL`"
        t.block(key, f"the model `{base[:80]}` is outside the project", help)
        return
    t.carry(key, "model.base", found or base)
    if revision_key is not None and (revision := t.text(revision_key)):
        t.carry(revision_key, "model.revision", revision)


def low_rank(t: Translation, known: list[str | Key], four_bit: str | Key | None, eight_bit: str | Key | None) -> None:
    """Writes that there is a low-rank adapter, beside weights of fewer bits where one of these keys is given.

    Args:
        t: The sheet.
        known: Keys that ask for the adapter.
        four_bit: The key that asks for weights of 4 bits, if they are asked for.
        eight_bit: The key that asks for weights of 8 bits, if they are asked for and those of 4 aren't.
    """
    if eight_bit is not None:
        t.carry([*known, eight_bit], "strategy.kind", low_rank_kind(quantized=True), "LoRA on 8-bit weights")
        t.carry(eight_bit, "strategy.quantization", "int8")
    elif four_bit is not None:
        t.carry([*known, four_bit], "strategy.kind", low_rank_kind(quantized=True))
    else:
        t.carry(known, "strategy.kind", low_rank_kind(quantized=False))


def quantization(
    t: Translation, kind: str, double: str, usual: str | None = None, *, usual_double: bool = True
) -> None:
    """The type of 4-bit weights, and whether their scales are quantized too."""
    if (word := t.text(kind)) in ("nf4", "fp4"):
        t.carry(kind, "strategy.quantization", word)
    if usual:
        t.add("strategy.quantization", usual, f"{t.tool}'s default")
    if t.has(double):
        t.carry(double, "strategy.double_quantization", t.flag(double))
    if not usual_double:
        t.add("strategy.double_quantization", False, f"{t.tool}'s default")


def attention(t: Translation, key: str) -> None:
    """The attention kernel by its usual name."""
    word = t.text(key)
    known = {"eager": "eager", "sdpa": "sdpa", "flash_attention_2": "flash_attention_2", "fa2": "flash_attention_2"}
    known |= {"auto": "auto", "disabled": "eager"}
    if word in known:
        t.carry(key, "model.attention", known[word])
    elif word:
        t.drop(
            key, f"the attention kernel `{word[:40]}` is not supported", "sdpa is used instead, with the same result"
        )


def adapter(t: Translation, keys: AdapterKeys) -> None:
    """Rank, scale, dropout and targets of a low-rank adapter."""
    rank = t.whole(keys.rank)
    if rank is not None:
        t.carry(keys.rank, "strategy.rank", rank)
    elif keys.default_rank:
        rank = keys.default_rank
        t.add("strategy.rank", rank, f"{t.tool}'s default")
    _alpha(t, keys, rank)
    _of_experts(t, keys)
    if (share := t.number(keys.dropout)) is not None:
        t.carry(keys.dropout, "strategy.dropout", share)
    elif "strategy.target_parameters" in t.values:
        t.add("strategy.dropout", 0.0, "peft has no dropout on experts")
    else:
        t.add("strategy.dropout", keys.default_dropout, f"{t.tool}'s default")
    if "strategy.targets" not in t.values:
        targets(t, keys.targets)


def _of_experts(t: Translation, keys: AdapterKeys) -> None:
    """Tensors of experts that get an adapter, too."""
    if not keys.parameters or not t.has(keys.parameters):
        return
    names = t.names(keys.parameters)
    if "target_parameters" not in FIELDS[str(t.values["strategy.kind"].value)]:
        t.drop(
            keys.parameters, "experts can't be quantized, nor adapted beside quantized weights", "write `kind: lora`"
        )
    elif names and all(_PARAMETER.fullmatch(name) for name in names):
        t.carry(keys.parameters, "strategy.target_parameters", tuple(dict.fromkeys(names)))
    elif names:
        t.drop(keys.parameters, "a pattern; ftc takes ends of names", "experts stay as they are")


def other_adapter(t: Translation, kind: str, keys: AdapterKeys, bits: Sequence[str | Key]) -> None:
    """What LoRA's keys say of another kind of adapter, as far as it has the like; `bits` are those about fewer bits."""
    fields = FIELDS[kind]
    for key in bits:
        why = "quantized weights need LoRA"
        t.drop(key, why if "targets" in fields else "quantized weights can't be fully trained")
    if "rank" in fields and (rank := t.whole(keys.rank)) is not None:
        t.carry(keys.rank, "strategy.rank", rank)
    if "alpha" in fields:
        _alpha(t, replace(keys, default_alpha=None), None)
    if "dropout" in fields and (share := t.number(keys.dropout)) is not None:
        t.carry(keys.dropout, "strategy.dropout", share)
    if "targets" in fields and t.has(keys.targets):
        targets(t, keys.targets)


def _alpha(t: Translation, keys: AdapterKeys, rank: int | None) -> None:
    alpha = t.number(keys.alpha)
    if alpha is not None and alpha == int(alpha):
        t.carry(keys.alpha, "strategy.alpha", int(alpha))
    elif alpha is not None:
        t.drop(keys.alpha, f"alpha must be a whole number, and {alpha:g} is not", "twice the rank is used instead")
    elif keys.default_alpha == "twice" and rank:
        t.add("strategy.alpha", 2 * rank, f"{t.tool}'s default, twice the rank")
    elif isinstance(keys.default_alpha, int):
        t.add("strategy.alpha", keys.default_alpha, f"{t.tool}'s default")


def targets(t: Translation, key: str) -> None:
    """The modules that get an adapter: a word for all, or names."""
    if not t.has(key):
        reason = f"{t.tool} leaves the choice to peft's list for the architecture; these are all linear layers"
        t.add("strategy.targets", "all-linear", reason)
        return
    names = t.names(key)
    if names in (("all",), ("all-linear",)):
        t.carry(key, "strategy.targets", "all-linear")
    elif names and all(_NAME.fullmatch(name) for name in names):
        t.carry(key, "strategy.targets", tuple(dict.fromkeys(names)))
    elif names:
        t.drop(key, "a pattern; ftc takes names of modules", "all linear layers are used instead")
        t.add("strategy.targets", "all-linear", "instead of a pattern")
