"""What a value of a recipe, a lock or a plan touches when it changes: read off the language's own table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.spec.base import Effect
from ftc.spec.language.section_tree import effect_of, section_at

__all__ = ["effect_in_recipe", "effect_of_setting"]

_SETTINGS = {
    "text": Effect.DATA,
    "eval": Effect.EVAL,
    "train.keep_checkpoints": Effect.RESOURCE,
    "device.name": Effect.NUMERICS,
}
"""Effects of settings by the beginning of their path; everything else is numerics."""


def effect_in_recipe(path: str, plain: Mapping[str, Any]) -> Effect:
    """Effect of a recipe's value by its dotted path; a value inside of one that has no section of its own has its."""
    parts = tuple(path.split("."))
    for length in range(len(parts), 0, -1):
        section = section_at(parts[: length - 1], plain)
        if section is not None and parts[length - 1] in section.model_fields:
            return effect_of(section, parts[length - 1]) or Effect.NUMERICS
    return Effect.NUMERICS


def effect_of_setting(path: str) -> Effect:
    """Effect of a plan's setting by its dotted path."""
    return next((effect for start, effect in _SETTINGS.items() if _is_inside(path, start)), Effect.NUMERICS)


def _is_inside(path: str, start: str) -> bool:
    return path == start or path.startswith(f"{start}.")
