"""Parameters by name: other tools' regular expressions and lists of modules, as the patterns of a recipe."""

from __future__ import annotations

import re

from ftc.compiler.importers import words
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.architectures import ARCHITECTURES
from ftc.spec.parameter_patterns import MOST_PATTERNS, PATTERN

__all__ = ["freeze", "learning_rates", "only", "patterns_of"]

_NUMBER = re.compile(r"\[0-9\]\+|\\d\+")
_DIGIT = "[0-9]"
_GROUP = re.compile(r"\((?:\?:)?([^()]*)\)")
_ROUTERS = {end.rpartition(".")[2] for one in ARCHITECTURES if one.experts for end in one.experts.routers}


def patterns_of(expression: str) -> tuple[str, ...] | None:
    """What a regular expression over parameters' names is in a recipe; None where a pattern can't say it.

    A dot is one between parts of a name, escaped or not. An expression without an end fits names that go on.
    """
    text = expression.strip().removeprefix("^")
    if choice := _GROUP.search(text):
        found = [patterns_of(f"{text[: choice.start()]}{one}{text[choice.end() :]}") for one in choice[1].split("|")]
        return None if None in found else tuple(pattern for patterns in found if patterns for pattern in patterns)
    if "|" in text:
        found = [patterns_of(one) for one in text.split("|")]
        return None if None in found else tuple(pattern for patterns in found if patterns for pattern in patterns)
    text = _NUMBER.sub(f"{_DIGIT}*", text.replace("\\.", ".")).replace("\\d", _DIGIT)
    text = re.sub(r"(\[[\w-]+\])\+", r"\1*", text)  # one of these characters or more
    goes_on = not text.endswith(("$", "."))
    text = text.removesuffix("$").removesuffix(".*")
    text = re.sub(r"\.\+|\.\*", "*", text).removesuffix(".")
    if not re.fullmatch(PATTERN, text):
        return None
    return (f"{text}*" if goes_on and not text.endswith("*") else text,)


def only(t: Translation, key: str) -> None:
    """Regular expressions of the only parameters that are trained."""
    found = [patterns_of(name) for name in t.names(key)]
    patterns = tuple(dict.fromkeys(pattern for one in found if one for pattern in one))
    if None in found or len(patterns) > MOST_PATTERNS:
        expression = t.names(key)[found.index(None)] if None in found else "…"
        help = "write `strategy.parameters`: whole parts of names, with `*`, `?` and `[0-9]`"
        t.block(key, f"`{expression[:60]}` can't be written as a pattern of a recipe", help)
        return
    t.carry(key, "strategy.kind", words.LAST_LAYERS)
    t.carry(key, "strategy.parameters", patterns)
    if any(part.removesuffix("*") in _ROUTERS for pattern in patterns for part in pattern.split(".")):
        t.carry(key, "train.train_router", True, "the patterns name routers of experts")


def freeze(t: Translation, key: str) -> None:
    """Modules that are not trained, by their names; an adapter leaves them as they are in any case."""
    names = t.names(key)
    kind = t.values.get("strategy.kind")
    if kind is not None and "freeze" not in words.FIELDS[kind.value]:
        t.needless(key, "an adapter leaves the model's own weights as they are")
    elif names and len(names) <= MOST_PATTERNS and all(re.fullmatch(PATTERN, name) for name in names):
        t.carry(key, "strategy.freeze", names)
    elif names:
        t.drop(key, "no names of modules", "write `strategy.freeze`")


def learning_rates(t: Translation, groups: str, embeddings: str, scale: str) -> None:
    """Learning rates of groups of modules, and of the embeddings, which come first where a tool looks for them."""
    found: list[dict[str, object]] = []
    keys: list[str | Key] = []
    rate, factor = t.number(embeddings), t.number(scale)
    usual = t.number("learning_rate")
    if factor is not None and usual is not None:
        keys.append(scale)
        rate = factor * usual
        t.needless(embeddings, f"`{scale}` counts before it")
    elif rate is not None:
        keys.append(embeddings)
    if rate:
        found.append({"parameters": ("*embed_tokens*", "*lm_head*"), "learning_rate": float(f"{rate:.6g}")})
    for group in t.items(groups):
        names, own = t.names((*group, "modules")), t.number((*group, "lr"))
        if names and own and all(re.fullmatch(PATTERN, name) for name in names):
            found.append({"parameters": tuple(f"*{name}*" for name in names), "learning_rate": own})
            keys += [(*group, "modules"), (*group, "lr")]
            t.needless((*group, "name"), "its modules name it")
    if found:
        reason = "biases and norms learn at the group's rate too"
        t.carry(keys, "train.parameter_groups", tuple(found), reason if t.items(groups) else "")
