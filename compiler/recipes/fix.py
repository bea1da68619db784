"""Mending a recipe's text: the safe fixes of its findings, round by round, until none is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.compiler.rules.check import Checked, check_recipe
from ftc.spec.language.fixes import with_fixes

if TYPE_CHECKING:
    from ftc.compiler.recipes.layers import Override

__all__ = ["MOST_ROUNDS", "Mended", "mend_recipe"]

MOST_ROUNDS = 10
"""A mended text is checked again, because one finding may have hidden another; so often at most."""

_TWICE = "FTC003"


@dataclass(frozen=True, slots=True)
class Mended:
    """A recipe's text after its mending.

    Attributes:
        before: The bytes as they were.
        after: The bytes with the fixes; the same where there was nothing to do.
        fixes: What was done, a title each.
        checked: What is found in the mended text.
    """

    before: bytes
    after: bytes
    fixes: tuple[str, ...]
    checked: Checked


def mend_recipe(data: bytes, file: str, *, path: Path | None = None, overrides: Sequence[Override] = ()) -> Mended:
    """Makes the safe fixes in a recipe's own text; takes what `check_recipe` takes, and touches no disk beyond it."""
    titles: list[str] = []
    now, checked = data, check_recipe(data, file, path=path, overrides=overrides)
    for _ in range(MOST_ROUNDS):
        content, made = with_fixes(now.decode("utf-8", "surrogateescape"), file, checked.diagnostics)
        if not made:
            break
        mended = content.encode("utf-8", "surrogateescape")
        rechecked = check_recipe(mended, file, path=path, overrides=overrides)
        if _count(rechecked, _TWICE) > _count(checked, _TWICE):
            break  # the right name is taken: which of the two values holds is for a person to say
        now, checked = mended, rechecked
        titles += [fix.title for fix in made]
    return Mended(data, now, tuple(titles), checked)


def _count(checked: Checked, code: str) -> int:
    return sum(found.code == code for found in checked.diagnostics)
