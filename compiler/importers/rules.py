"""What happens to a key that stands for itself: the vocabulary of the tools' tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ftc.compiler.importers.foreign import Foreign
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.language.did_you_mean import nearest

__all__ = [
    "BATCHES_FROM_PLAN",
    "ELSEWHERE",
    "FASTER_KERNELS",
    "FOLDERS",
    "LOGS",
    "NAME_THE_TEACHER",
    "NO_CODE",
    "OWN_LOADER",
    "SHARDING",
    "Rule",
    "Tool",
    "blocking",
    "dropped",
    "ignored",
    "meant_as",
    "needless",
    "number",
    "of_adapter",
    "switched",
    "tabled",
    "text",
    "variants",
    "whole",
]

Rule = Callable[[Translation, Key], None]
"""Decides the fate of one key that is there and not null."""

LOGS = "ftc records every step in the run folder"
FOLDERS = "runs and caches have their own places"
OWN_LOADER = "ftc prepares rows once, when it plans"
BATCHES_FROM_PLAN = "the plan chooses what fits"
SHARDING = "how devices share the work is no part of a recipe"
NO_CODE = "ftc never runs code that a model brings"
FASTER_KERNELS = "a kernel that changes speed and memory, not what is trained"
ELSEWHERE = "no part of training"
NAME_THE_TEACHER = "import without it, then name the model itself as `train.distillation.teacher`"

_MOST_KEYS = 500
"""Keys of a file in which slips are looked for; each costs milliseconds, and no real file has so many."""

_OFF: tuple[Any, ...] = (False, 0, "", "none", "None", "no", "false", (), {})


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose configurations can be read.

    Attributes:
        name: What `--from` takes.
        title: The name for people.
        recognises: Whether a file looks like one of this tool's.
        steps: What reads the keys that mean something together; they run before the table.
        rules: What happens to each other key, by its dotted name without positions in lists.
        unknown: What happens to a key that stands in no table.
        defaults: What the tool itself takes where the file says nothing, by recipe path.
    """

    name: str
    title: str
    recognises: Callable[[Foreign], bool]
    steps: tuple[Callable[[Translation], None], ...]
    rules: Mapping[str, Rule]
    unknown: Rule
    defaults: Mapping[str, Any]


def number(path: str) -> Rule:
    """A number that means the same there and here."""

    def rule(t: Translation, key: Key) -> None:
        if (value := t.number(key)) is not None:
            t.carry(key, path, value)

    return rule


def whole(path: str) -> Rule:
    """A whole number that means the same there and here."""

    def rule(t: Translation, key: Key) -> None:
        if (value := t.whole(key)) is not None:
            t.carry(key, path, value)

    return rule


def text(path: str) -> Rule:
    """A text that means the same there and here."""

    def rule(t: Translation, key: Key) -> None:
        if value := t.text(key):
            t.carry(key, path, value)
        else:
            t.needless(key, "empty")

    return rule


def of_adapter(path: str) -> Rule:
    """A flag or a number of low-rank adapters that means the same there and here, where the job has one."""

    def rule(t: Translation, key: Key) -> None:
        value, kind = t.value(key), t.values.get("strategy.kind")
        if _is_off(value, _OFF):
            t.needless(key, "off, as in ftc")
        elif kind is None or kind.value not in ("lora", "qlora"):
            t.needless(key, "belongs to a feature that is off")
        elif isinstance(value, bool) or t.number(key) is None:
            t.carry(key, path, t.flag(key))
        else:
            t.carry(key, path, t.number(key))

    return rule


def switched(path: str) -> Rule:
    """A number that means the same there and here, unless it is off."""

    def rule(t: Translation, key: Key) -> None:
        if _is_off(t.value(key), _OFF):
            t.needless(key, "off, as in ftc")
        elif (value := t.number(key)) is not None:
            t.carry(key, path, value)

    return rule


def variants(dora: str, rank_stabilized: str) -> dict[str, Rule]:
    """Rules of the usual variants of LoRA, and of noise on embeddings, by the tool's keys for two of them."""
    return {
        dora: of_adapter("strategy.dora"),
        rank_stabilized: of_adapter("strategy.rank_stabilized"),
        "loraplus_lr_ratio": of_adapter("strategy.b_rate_ratio"),
        "neftune_noise_alpha": switched("train.neftune_alpha"),
    }


def needless(reason: str) -> Rule:
    """A key without which the recipe means the same."""
    return lambda t, key: t.needless(key, reason)


def dropped(reason: str, help: str = "", off: tuple[Any, ...] = _OFF) -> Rule:
    """A key that has no counterpart, unless it is off."""

    def rule(t: Translation, key: Key) -> None:
        if _is_off(t.value(key), off):
            t.needless(key, "off, as in ftc")
        else:
            t.drop(key, reason, help)

    return rule


def ignored(evidence: str) -> Rule:
    """A key that the tool itself never looks at."""
    return lambda t, key: t.ignore(key, evidence)


def blocking(summary: str, help: str, off: tuple[Any, ...] = _OFF) -> Rule:
    """A key that makes the training another one than a recipe can say, unless it is off."""

    def rule(t: Translation, key: Key) -> None:
        if _is_off(t.value(key), off):
            t.needless(key, "off, as in ftc")
        else:
            t.block(key, summary, help)

    return rule


def tabled(rule: Rule, *keys: str) -> dict[str, Rule]:
    """One rule for several keys, given as words with blanks between them."""
    return {key: rule for words in keys for key in words.split()}


def meant_as(t: Translation, name: str, known: Iterable[str]) -> str:
    """The known key that a mistyped one was probably meant as, in words; empty where none is near."""
    if len(t.foreign.root.entries) > _MOST_KEYS:
        return ""
    meant = nearest(name, known)
    return f"it may have been meant as `{meant}`" if meant else ""


def _is_off(value: Any, off: tuple[Any, ...]) -> bool:
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in off)
