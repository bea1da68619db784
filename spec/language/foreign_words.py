"""What a word of another tool is called in a section of a recipe, and which guesses at a word are slips of the hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from ftc.spec.language.foreign_keys import IN_SECTIONS, KEYS, TURNS, VALUES
from ftc.spec.language.section_tree import places_of_key
from ftc.spec.row_files import SUFFIXES

__all__ = ["SPLIT_OF_DATA", "by_value", "foreign_word", "is_slip", "own_name"]

SPLIT_OF_DATA = (
    "write which share of the rows goes where, such as `split: {validation: 0.1, test: 0.1}`; a split of a data set on "
    "the hub is named in its source: `source: {hub: OWNER/NAME, split: train}`"
)
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

_NEAR = 0.7
"""Likeness of two spellings of one word: `rnak` and `rank` have 0.75, `min` and `max` 0.33."""
_NEARLY_ONE = 0.9


def own_name(key: str, section: str) -> str | None:
    """What ftc calls another tool's key of this section; None for a key of another section, or none."""
    home, _, name = KEYS.get(key, "").rpartition(".")
    return IN_SECTIONS.get(f"{section}.{key}") or (name if name and home == section else None)


def foreign_word(key: str, section: str) -> tuple[str, str] | None:
    """Label and help for another tool's word, or None where it is not known, or is a word of this language too."""
    if own := IN_SECTIONS.get(f"{section}.{key}"):
        return f"ftc calls it `{own}`", f"write `{own}`"
    if places_of_key(key):
        return None
    if place := KEYS.get(key):
        home, _, name = place.rpartition(".")
        return f"ftc calls it `{name}`", f"write `{name}`" + ("" if home == section else f" in `{home}`")
    return ("a name from other tools", VALUES[key]) if key in VALUES else None


def by_value(key: str, holder: Any, recipe: Mapping[str, Any]) -> tuple[str, str] | None:
    """Label and help for another tool's key that means one thing or another by its value; None for other keys.

    Args:
        key: The key.
        holder: The mapping that has it.
        recipe: The whole recipe.
    """
    value = holder.get(key) if isinstance(holder, dict) else None
    if key == "split" and isinstance(value, str) and isinstance(path := holder.get("path"), str):
        label = "names a split of a data set on the hub"
        if _HUB_ID.fullmatch(path) and not path.lower().endswith(SUFFIXES):
            return label, f"write `hub: {path}` in place of `path`; a file or folder here has no splits: remove `split`"
        return label, "remove it: all rows of a file are read; `split` in `data` divides them"
    if key not in TURNS or not isinstance(value, bool):
        return None
    if value is not TURNS[key]:
        return "answers alone are trained on", "remove it; that is what ftc does"
    task = recipe.get("task")
    kind = task.get("kind") if isinstance(task, dict) else None
    where = "in `task`" if kind == "chat" else "in `task`, which `kind: chat` alone has; other tasks train on answers"
    return "trains on prompts, too", f"remove it, and write `train_on: all` {where}; `--fix` moves no key"


def is_slip(word: str, meant: str) -> bool:
    """Whether a word is another one misspelled, and not one of its own, as `min_steps` beside `max_steps` is.

    A slip has the same words one by one, or nearly the same letters and no word more, as `eval_batch_size` has beside
    `batch_size`.
    """
    few, many = sorted((word.split("_"), meant.split("_")), key=len)
    if len(few) == len(many):
        return all(_likeness(*pair) >= _NEAR for pair in zip(few, many, strict=True))
    return _likeness("".join(few), "".join(many)) >= _NEARLY_ONE and not set(few) <= set(many)


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
