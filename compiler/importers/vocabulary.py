"""Keys about the tokenizer: tokens that are added, tokens that end and pad texts, and a chat template in a file."""

from __future__ import annotations

from typing import Any

from ftc.compiler.importers.rules import Rule, Rules, each, needless
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["added", "roles", "template_file"]

_OFF: tuple[Any, ...] = ("", (), False)


def added(keys: str, *, special: bool = False) -> Rules:
    """Lists of tokens that the vocabulary gets."""
    path = "model.add_special_tokens" if special else "model.add_tokens"

    def rule(t: Translation, key: Key) -> None:
        if names := t.names(key):
            t.carry(key, path, tuple(dict.fromkeys(names)))

    return each(_unless_off(rule), keys)


def roles(eos: str = "", pad: str = "", others: str = "") -> Rules:
    """Keys that name the token which ends texts, or fills short rows; others keep the tokenizer's own."""

    def carried(role: str) -> Rule:
        def rule(t: Translation, key: Key) -> None:
            if token := t.text(key):
                t.carry(key, f"model.special_tokens.{role}", token)

        return _unless_off(rule)

    return {
        **each(carried("eos_token"), eos),
        **each(carried("pad_token"), pad),
        **needless("the tokenizer's own", others),
    }


def template_file(keys: str) -> Rules:
    """Keys that name a Jinja file, or hold a template's text, which a recipe keeps in a file of its own."""

    def rule(t: Translation, key: Key) -> None:
        text = t.text(key) or ""
        found = t.around.locate(text) if "\n" not in text and "{" not in text else None
        if found and found.endswith((".jinja", ".jinja2", ".j2")):
            t.carry(key, "model.chat_template", found)
        else:
            help = "write the template to a file of the project, and name that as `model.chat_template`"
            t.drop(key, "the model's own template is used", help)

    return each(_unless_off(rule), keys)


def _unless_off(rule: Rule) -> Rule:
    def decided(t: Translation, key: Key) -> None:
        if t.value(key) in _OFF:
            t.needless(key, "off, as in ftc")
        else:
            rule(t, key)

    return decided
