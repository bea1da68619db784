"""Keys about the texts that a model reads: tokens that are added, tokens that end and pad texts, a chat template in a
file, and rotary positions that are scaled for longer ones.
"""

from __future__ import annotations

from typing import Any, get_args

from ftc.compiler.importers.rules import Rule, Rules, dropped, each, needless
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.sections.model import RopeKind

__all__ = ["added", "roles", "rotation", "scaled_rotation", "template_file"]

_OFF: tuple[Any, ...] = ("", (), False)
_ROTATIONS: tuple[str, ...] = get_args(RopeKind)
_CHOOSE_ROTATION = f"`model.rope.kind` is one of {', '.join(_ROTATIONS)}"
_ROTATION_NUMBERS = (
    "attention_factor beta_fast beta_slow mscale mscale_all_dim truncate low_freq_factor high_freq_factor "
    "short_factor long_factor"
).split()


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


def scaled_rotation(keys: str) -> Rules:
    """Keys that name a kind of scaling, whose factor follows from the longest row."""

    def rule(t: Translation, key: Key) -> None:
        if (kind := t.text(key)) in _ROTATIONS:
            t.carry(key, "model.rope.kind", kind)
        else:
            t.drop(key, "this kind of scaling is not supported", _CHOOSE_ROTATION)

    return each(_unless_off(rule), keys)


def rotation(block: str) -> Rules:
    """The keys of a block that transformers calls `rope_scaling`, or `rope_parameters`."""

    def factor(t: Translation, key: Key) -> None:
        number = t.number(key)
        if number is not None and any(t.value((*key[:-1], name)) in _ROTATIONS for name in ("rope_type", "type")):
            t.carry(key, "model.rope.factor", number)
        else:
            t.drop(key, "this kind of scaling is not supported", _CHOOSE_ROTATION)

    return {
        **scaled_rotation(f"{block}.rope_type {block}.type"),
        f"{block}.factor": factor,
        **needless("read from the model itself", f"{block}.rope_theta {block}.original_max_position_embeddings"),
        **dropped(
            "each kind of scaling has its usual numbers",
            " ".join(f"{block}.{one}" for one in _ROTATION_NUMBERS),
        ),
    }


def _unless_off(rule: Rule) -> Rule:
    def decided(t: Translation, key: Key) -> None:
        if t.value(key) in _OFF:
            t.needless(key, "off, as in ftc")
        else:
            rule(t, key)

    return decided
