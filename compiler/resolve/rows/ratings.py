"""Numbers, ratings of answers and of their steps, and the answers of a pair, as people write them. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["answers_in", "flag_of", "number_in", "rating_of", "said_in", "step_rating_of", "with_point"]

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
_WITH_COMMA = re.compile(r"[+-]?(?:\d+,\d+|\d{1,3}(?:\.\d{3})+(?:,\d+)?)")
_RIGHT_OR_WRONG = {
    **{word: is_good for word, is_good in _GOOD_OR_BAD.items() if not word.startswith("-1")},
    **{"+": True, "-": False, "right": True, "wrong": False},
}
"""Of steps, -1 stands beside 0, which is neither."""


def answers_in(value: Any) -> list[Any]:
    """One answer, a text or a conversation, or each of several in a list."""
    is_several = isinstance(value, list) and len(value) > 0 and all(isinstance(one, str | list) for one in value)
    return list(value) if is_several else [value]


def said_in(answer: Any) -> Any:
    """The text of an answer that is a single turn without anything else, such as tool calls; others as they are."""
    match answer:
        case [{"role": "assistant", "content": str(text), **more}] if all(one is None for one in more.values()):
            return text
    return answer


def with_point(cell: str) -> str:
    """A number where commas are decimal marks and points are between thousands, as it is with a decimal point; any
    other text as it is.
    """
    return cell.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(cell.strip()) else cell


def number_in(value: Any) -> float | None:
    """A finite number, which CSV files have as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def rating_of(value: Any) -> bool | None:
    """Whether a rating says good, in one of the ways in which people write it; None for anything else."""
    return _GOOD_OR_BAD.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None


def flag_of(value: Any) -> bool | None:
    """Whether a cell of a column that stands for one label says that a row has it; None for what says neither."""
    return None if str(value).strip().startswith("-") else rating_of(value)


def step_rating_of(value: Any) -> bool | None:
    """Whether a rating says that a step is right, in one of the ways in which people write it; None for others."""
    return _RIGHT_OR_WRONG.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None
