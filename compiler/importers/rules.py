"""What happens to a key that stands for itself: the vocabulary of the tools' tables.

Each function makes rows of a table, `{key: rule}`. Where keys are texts, they are words with blanks between them.
"""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias, get_args

from ftc.compiler.importers import words
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.documents import imported
from ftc.spec.documents.lineage import RUN_PREFIX
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.foreign_yaml import Foreign
from ftc.spec.language.yaml_nodes import Mapping
from ftc.spec.strategies.lora import LoraInit
from ftc.spec.tasks.rows import FOREIGN_MARKS

__all__ = [
    "FASTER_KERNELS",
    "FOLDERS",
    "LOGS",
    "NAME_THE_TEACHER",
    "OF_TRAINER",
    "OWN_LOADER",
    "TRAINER",
    "ModelKeys",
    "Rule",
    "Rules",
    "Tool",
    "blocking",
    "dropped",
    "each",
    "earlier_adapters",
    "ignored",
    "meant_as",
    "meant_as_marks",
    "needless",
    "numbers",
    "of_peft",
    "of_strategy",
    "of_turns",
    "shared_work",
    "switched",
    "texts",
    "under",
    "wholes",
]

Rule: TypeAlias = "Callable[[Translation, Key], None]"
"""Decides the fate of one key that is there and not null."""
Rules: TypeAlias = "dict[str, Rule]"
"""What happens to each key, by its dotted name without positions in lists."""

LOGS = "ftc records every step in the run folder"
FOLDERS = "runs and caches have their own folders"
OWN_LOADER = "ftc prepares rows once, when it plans"
HOW_MANY_MACHINES = "set `train.sharding: hsdp`, and your numbers as `budget.nodes` and `budget.devices`"
_HYBRID_SHARD = re.compile(r"\b_?hybrid_shard(_zero2)?\b", re.IGNORECASE)
FASTER_KERNELS = "a kernel that changes speed and memory, not the result"
NAME_THE_TEACHER = "import without it, then name the model itself as `train.distillation.teacher`"
OF_TRAINER = {
    "learning_rate": "train.learning_rate",
    "weight_decay": "train.optimizer.weight_decay",
    "adam_beta1": "train.optimizer.beta1",
    "adam_beta2": "train.optimizer.beta2",
    "adam_epsilon": "train.optimizer.epsilon",
    "max_grad_norm": "train.max_grad_norm",
}
"""Numbers of transformers' trainer, which most tools hand on, with their places in a recipe."""

_MOST_KEYS = 500
"""Keys of a file in which slips are looked for; each costs milliseconds, and no real file has so many."""
_OFF: tuple[Any, ...] = (False, 0, "", "none", "None", "no", "false", (), {})
_IS_OFF, _NOT_IN_USE = "off, as in ftc", "belongs to a feature that is off"
_MODULE = re.compile(r"\w+(\.\w+)*")
_NO_PATTERN: tuple[Any, ...] = (None, "", "{}", "none", (), {})
_USUAL_INIT = (*_NO_PATTERN, True, "true", "default", "DEFAULT")


@dataclass(frozen=True, slots=True)
class ModelKeys:
    """Where a tool names the base model, its revision, and the kernel of its attention."""

    base: str
    revision: str | None
    attention: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose configurations can be read, in one of its forms.

    Attributes:
        name: What `--from` takes.
        marks: Keys by which a file is known: it has one of each group. `*.key` stands below any key of the root.
        model: Where the base model and its attention stand; None where a step finds them.
        steps: What reads the keys that mean something together; they run before the table.
        rules: What happens to each other key.
        unknown: What happens to a key that stands in no table.
        defaults: What the tool itself takes where the file says nothing, by recipe path.
    """

    name: imported.Tool
    marks: tuple[tuple[str, ...], ...]
    model: ModelKeys | None
    steps: tuple[Callable[[Translation], None], ...]
    rules: abc.Mapping[str, Rule]
    unknown: Rule
    defaults: abc.Mapping[str, Any]

    @property
    def title(self) -> str:
        """The name for people."""
        return imported.TOOLS[self.name]

    def recognizes(self, foreign: Foreign) -> bool:
        """Whether a file looks like one of this tool's."""
        return all(any(_has(foreign.root, mark) for mark in group) for group in self.marks)


def _has(root: Mapping, mark: str) -> bool:
    above, _, key = mark.rpartition(".")
    if not above:
        return key in root.entries
    blocks = root.entries.values() if above == "*" else [root.entries[above]] if above in root.entries else []
    return any(isinstance(block.node, Mapping) and key in block.node.entries for block in blocks)


def each(rule: Rule, keys: str) -> Rules:
    """One rule for several keys."""
    return dict.fromkeys(keys.split(), rule)


def under(prefix: str, paths: abc.Mapping[str, str]) -> dict[str, str]:
    """The same keys in a block of the configuration."""
    return {f"{prefix}{key}": path for key, path in paths.items()}


def numbers(paths: abc.Mapping[str, str]) -> Rules:
    """Numbers that mean the same there and here, by key, with their places in a recipe."""
    return {key: _carried(path, Translation.number) for key, path in paths.items()}


def wholes(paths: abc.Mapping[str, str]) -> Rules:
    """Whole numbers that mean the same there and here."""
    return {key: _carried(path, Translation.whole) for key, path in paths.items()}


def _carried(path: str, read: Callable[[Translation, Key], float | None]) -> Rule:
    def rule(t: Translation, key: Key) -> None:
        if (value := read(t, key)) is not None:
            t.carry(key, path, value)

    return rule


def texts(paths: abc.Mapping[str, str]) -> Rules:
    """Texts that mean the same there and here."""

    def carried(path: str) -> Rule:
        return lambda t, key: t.carry(key, path, text) if (text := t.text(key)) else t.needless(key, "empty")

    return {key: carried(path) for key, path in paths.items()}


def switched(paths: abc.Mapping[str, str]) -> Rules:
    """Numbers that mean the same there and here, unless they are off."""
    return {key: _unless_off(_carried(path, Translation.number)) for key, path in paths.items()}


def of_strategy(paths: abc.Mapping[str, str]) -> Rules:
    """Flags and numbers that mean the same there and here, where the job's strategy has such a key."""

    def carried(path: str) -> Rule:
        def rule(t: Translation, key: Key) -> None:
            kind = t.values.get("strategy.kind")
            if kind is None or path.removeprefix("strategy.") not in words.FIELDS[kind.value]:
                t.needless(key, _NOT_IN_USE)
            else:
                is_flag = isinstance(t.value(key), bool) or t.number(key) is None
                t.carry(key, path, t.flag(key) if is_flag else t.number(key))

        return rule

    return {key: _unless_off(carried(path)) for key, path in paths.items()}


def needless(reason: str, keys: str) -> Rules:
    """Keys without which the recipe means the same."""
    return each(lambda t, key: t.needless(key, reason), keys)


def dropped(reason: str, keys: str, help: str = "", off: tuple[Any, ...] = _OFF) -> Rules:
    """Keys that have no counterpart, unless they are off."""
    return each(_unless_off(lambda t, key: t.drop(key, reason, help), off), keys)


def earlier_adapters(keys: str, new: str = "") -> Rules:
    """Keys that name an adapter to begin from, and the one that trains a new adapter on top of it.

    A recipe continues what a run of ftc left, since its record says what the adapter belongs to.
    """

    def run_of(t: Translation, key: str | Key) -> str | None:
        parts = PurePosixPath(t.text(key) or "").parts
        return parts[-2] if parts[-4:-3] == ("runs",) and parts[-1] == "adapter" else None

    def begin(t: Translation, key: Key) -> None:
        if (run := run_of(t, key)) is not None:
            for path in ("model.base", "model.revision"):
                t.withdraw(path, "the base model that the run was trained on is loaded")
            t.carry(key, "model.base", f"{RUN_PREFIX}{run}")
        else:
            help = "train the earlier adapter by ftc and name it as `model.base: run:NAME`, or merge it into the base"
            t.drop(key, "only a run of ftc can be continued; training starts from a new adapter", help)

    def create(t: Translation, key: Key) -> None:
        if any(t.has(one) and run_of(t, one) for one in keys.split()):
            t.carry(key, "model.create_new_adapter", True)
        else:
            t.needless(key, "a new adapter is trained anyway")

    return {**each(_unless_off(begin), keys), **each(_unless_off(create), new)}


def of_turns(train_on: Callable[[Translation, Key], Any], reason: str, keys: str) -> Rules:
    """Keys that say which turns of conversations are trained on; of other rows, why they are not carried.

    Args:
        train_on: The recipe's `task.train_on` for the key's value; `assistant` where it is the usual one.
        reason: What ftc does with rows of other tasks.
        keys: The keys.
    """

    def rule(t: Translation, key: Key) -> None:
        kind = t.values.get("task.kind")
        if kind is not None and kind.value == words.task_of("messages"):
            value = train_on(t, key)
            if value in ("assistant", ("assistant",)):
                t.needless(key, "the assistant's turns are trained on, as usual")
            else:
                t.carry(key, "task.train_on", value)
        else:
            t.drop(key, reason)

    return each(_unless_off(rule), keys)


def meant_as_marks(keys: str) -> Rules:
    """Keys that name the mark of a turn that is trained on, where ftc reads it by itself."""

    def rule(t: Translation, key: Key) -> None:
        if t.text(key) in FOREIGN_MARKS:
            t.needless(key, "ftc reads the mark")
        else:
            known = ", ".join(f"`{mark}`" for mark in FOREIGN_MARKS)
            t.drop(key, "marks of another name are not read", f"rename them in the rows: {known}")

    return each(rule, keys)


def ignored(evidence: str, keys: str) -> Rules:
    """Keys that the tool itself never looks at."""
    return each(lambda t, key: t.ignore(key, evidence), keys)


def blocking(summary: str, keys: str, help: str, off: tuple[Any, ...] = _OFF) -> Rules:
    """Keys that make the training another one than a recipe can say, unless they are off."""
    return each(_unless_off(lambda t, key: t.block(key, summary, help), off), keys)


def shared_work(keys: str) -> Rules:
    """Keys about the work of several devices; torch's `HYBRID_SHARD` says nothing of how many machines there are."""
    help = "set `budget.devices`, and `train.sharding` if you want to choose it"

    def rule(t: Translation, key: Key) -> None:
        if _HYBRID_SHARD.search(str(t.value(key))):
            t.drop(key, "copies of the model on several machines, whose number isn't in this file", HOW_MANY_MACHINES)
        else:
            t.drop(key, "the plan chooses how devices share the work", help)

    return each(_unless_off(rule), keys)


def of_peft(modules: str = "", ranks: str = "", alphas: str = "", init: str = "") -> Rules:
    """Keys of low-rank adapters that hold more than a number, in peft's words, by a tool's names for them."""
    return {
        **each(_for_adapter(_carry_modules, _NO_PATTERN), modules),
        **each(_for_adapter(lambda t, key: _carry_pattern(t, key, "rank"), _NO_PATTERN), ranks),
        **each(_for_adapter(lambda t, key: _carry_pattern(t, key, "alpha"), _NO_PATTERN), alphas),
        **each(_for_adapter(_carry_init, _USUAL_INIT), init),
    }


def _carry_modules(t: Translation, key: Key) -> None:
    """Modules that are trained whole beside an adapter."""
    names = t.names(key)
    if names and all(_MODULE.fullmatch(name) for name in names):
        t.carry(key, "strategy.modules_to_save", tuple(dict.fromkeys(names)))
    elif names:
        t.drop(key, "a pattern; ftc takes names of modules", "name them in `strategy.modules_to_save`")


def _carry_pattern(t: Translation, key: Key, what: str) -> None:
    """The first that fits counts there and here. Elsewhere names are regular expressions; plain ones mean the same."""
    entries = t.value(key)
    named = {name.replace("\\.", "."): one for name, one in entries.items()} if isinstance(entries, dict) else {}
    if not named or not all(
        _MODULE.fullmatch(name)
        and (isinstance(one, int | float) and not isinstance(one, bool) and one == int(one) and one >= 1)
        for name, one in named.items()
    ):
        t.drop(key, "no whole numbers by plain names of modules", "write `strategy.patterns`, which can name layers")
        return
    before = t.values.get("strategy.patterns")
    new = tuple({"modules": (name,), what: int(one)} for name, one in named.items())
    known: list[str | Key] = [*(before.keys if before else ()), key]
    t.carry(known, "strategy.patterns", (*(before.value if before else ()), *new))


def _carry_init(t: Translation, key: Key) -> None:
    """What a low-rank adapter begins with."""
    word = t.text(key) or ""
    if word in get_args(LoraInit):
        t.carry(key, "strategy.init", word)
    elif word.startswith("pissa_niter_"):
        t.carry(key, "strategy.init", "pissa", "by the exact decomposition")
    elif word:
        t.drop(
            key,
            f"the adapter's initialization `{word[:40]}` is not supported",
            "it starts with random and zero weights; see `strategy.init`",
        )


def _for_adapter(carry: Rule, off: tuple[Any, ...]) -> Rule:
    def rule(t: Translation, key: Key) -> None:
        kind = t.values.get("strategy.kind")
        if kind is None or kind.value not in words.LOW_RANK:
            t.needless(key, _NOT_IN_USE)
        else:
            carry(t, key)

    return _unless_off(rule, off)


def _unless_off(rule: Rule, off: tuple[Any, ...] = _OFF) -> Rule:
    def decided(t: Translation, key: Key) -> None:
        value = t.value(key)
        if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in off):
            t.needless(key, _IS_OFF)
        else:
            rule(t, key)

    return decided


def meant_as(t: Translation, name: str, known: Iterable[str]) -> str:
    """The known key that a mistyped one was probably meant as, in words; empty where none is near."""
    if len(t.foreign.root.entries) > _MOST_KEYS:
        return ""
    meant = nearest(name, known)
    return f"possibly a typo of `{meant}`" if meant else ""


TRAINER: Rules = {
    **numbers({**OF_TRAINER, "num_train_epochs": "train.epochs"}),
    **wholes({
        "seed": "train.seed",
        "save_total_limit": "train.keep_checkpoints",
        "per_device_eval_batch_size": "eval.batch_size",
    }),
    **switched({"label_smoothing_factor": "train.label_smoothing", "neftune_noise_alpha": "train.neftune_alpha"}),
    **needless("the best checkpoint is always kept", "load_best_model_at_end"),
    **needless("follows from the split", "do_eval"),
    **needless("`ftc apply` trains", "do_train"),
    **needless("a run resumes automatically", "resume_from_checkpoint"),
    **needless("saves memory, does not change the result", "gradient_checkpointing_kwargs"),
    **dropped("no tracker of ftc's; all metrics are in the run folder", "report_to",
              off=("none", (), ("none",))),
    **dropped("ftc never runs code from a model's repository", "trust_remote_code",
              "the model must be supported by transformers"),
    **needless(LOGS, "logging_steps logging_first_step run_name log_level include_num_input_tokens_seen"),
    **needless(FOLDERS, "output_dir overwrite_output_dir logging_dir"),
    **needless(OWN_LOADER, "dataloader_num_workers preprocessing_num_workers remove_unused_columns"),
    **shared_work("deepspeed fsdp fsdp_config ddp_timeout ddp_find_unused_parameters"),
}  # fmt: skip
"""Keys of transformers' trainer that its tools hand on."""
