"""What a plan is doing with rows just now."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Stage", "StageListener"]


class Stage(NamedTuple):
    """A part of the work on rows, and how far it is.

    Attributes:
        name: What is done, such as `reading` or `tokenizing`.
        done: Rows so far; 0 where it isn't counted.
        total: All of them; None where nobody knows before the end.
    """

    name: str
    done: int = 0
    total: int | None = None


StageListener = Callable[[Stage], None]
"""Hears of each stage as it begins, and again as rows are done."""
