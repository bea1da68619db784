"""Ratings of answers and of their steps, and the answers of a pair, in the ways in which people write them. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["answers_in", "rating_of", "step_rating_of"]

_GOOD_OR_BAD = {
    "true": True,
    "1": True,
    "1.0": True,
    "false": False,
    "0": False,
    "0.0": False,
    "-1": False,
    "-1.0": False,
}
_RIGHT_OR_WRONG = {
    **{word: is_good for word, is_good in _GOOD_OR_BAD.items() if not word.startswith("-1")},
    **{"+": True, "-": False, "right": True, "wrong": False},
}
"""Of steps, -1 stands beside 0, which is neither."""


def answers_in(value: Any) -> list[Any]:
    """One answer, a text or a conversation, or each of several in a list."""
    is_several = isinstance(value, list) and len(value) > 0 and all(isinstance(one, str | list) for one in value)
    return list(value) if is_several else [value]


def rating_of(value: Any) -> bool | None:
    """Whether a rating says good, in one of the ways in which people write it; None for anything else."""
    return _GOOD_OR_BAD.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None


def step_rating_of(value: Any) -> bool | None:
    """Whether a rating says that a step is right, in one of the ways in which people write it; None for others."""
    return _RIGHT_OR_WRONG.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None
