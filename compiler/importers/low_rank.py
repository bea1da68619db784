"""Keys of low-rank adapters that hold more than a number, as peft has them and other tools hand them on."""

from __future__ import annotations

import functools
import re
from typing import Any, get_args

from ftc.compiler.importers.rules import Rule
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.strategies.lora import LoraInit

__all__ = ["alpha_pattern", "beginning", "modules_to_save", "of_peft", "rank_pattern"]

_MODULE = re.compile(r"\w+(\.\w+)*")
_OFF: tuple[Any, ...] = (None, "", "{}", "none", (), {})
_USUAL = (*_OFF, True, "true", "default", "DEFAULT")


def of_peft(modules: str, ranks: str, alphas: str, init: str) -> dict[str, Rule]:
    """Rules by a tool's names for these keys."""
    return {modules: modules_to_save, ranks: rank_pattern, alphas: alpha_pattern, init: beginning}


def modules_to_save(t: Translation, key: Key) -> None:
    """Modules that are trained whole beside an adapter."""
    _for_adapter(t, key, _carry_modules)


def _carry_modules(t: Translation, key: Key) -> None:
    names = t.names(key)
    if names and all(_MODULE.fullmatch(name) for name in names):
        t.carry(key, "strategy.also_train", tuple(dict.fromkeys(names)))
    elif names:
        t.drop(key, "a pattern; ftc takes names of modules", "name them in `strategy.also_train`")


def rank_pattern(t: Translation, key: Key) -> None:
    """Ranks of single modules by the ends of their names."""
    _for_adapter(t, key, functools.partial(_carry_pattern, "rank"))


def alpha_pattern(t: Translation, key: Key) -> None:
    """Alphas of single modules by the ends of their names."""
    _for_adapter(t, key, functools.partial(_carry_pattern, "alpha"))


def _carry_pattern(what: str, t: Translation, key: Key) -> None:
    """The first that fits counts there and here. Elsewhere names are regular expressions; plain ones mean the same."""
    entries = t.value(key)
    named = {name.replace("\\.", "."): one for name, one in entries.items()} if isinstance(entries, dict) else {}
    if not named or not all(_MODULE.fullmatch(name) and _is_whole(one) for name, one in named.items()):
        t.drop(key, "no whole numbers by plain names of modules", "write `strategy.patterns`, which can name layers")
        return
    before = t.values.get("strategy.patterns")
    new = tuple({"modules": (name,), what: int(one)} for name, one in named.items())
    known: list[str | Key] = [*(before.keys if before else ()), key]
    t.carry(known, "strategy.patterns", (*(before.value if before else ()), *new))


def beginning(t: Translation, key: Key) -> None:
    """What a low-rank adapter begins with, in peft's words."""
    _for_adapter(t, key, _carry_beginning, off=_USUAL)


def _carry_beginning(t: Translation, key: Key) -> None:
    word = t.text(key)
    if word in get_args(LoraInit):
        t.carry(key, "strategy.init", word)
    elif word:
        t.drop(key, f"no beginning `{word[:40]}` of an adapter", "it begins with chance and zero; see `strategy.init`")


def _for_adapter(t: Translation, key: Key, carry: Rule, off: tuple[Any, ...] = _OFF) -> None:
    kind = t.values.get("strategy.kind")
    if t.value(key) in off:
        t.needless(key, "off, as in ftc")
    elif kind is None or kind.value not in ("lora", "qlora"):
        t.needless(key, "belongs to a feature that is off")
    else:
        carry(t, key)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value) and value >= 1
