"""Which of the known words a mistyped one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest"]

_LONGEST_WORD = 64  # difflib costs the product of the lengths
_CUTOFF = 0.72  # `rnak` to `rank` scores 0.75; unrelated words of the recipe language score below 0.7


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like `word`, or None where nothing is near enough to suggest. Ignores case and hyphens."""
    import difflib  # a recipe without a slip never needs it

    known = {_folded(choice): choice for choice in choices}
    found = difflib.get_close_matches(_folded(word), known, n=1, cutoff=_CUTOFF) if len(word) <= _LONGEST_WORD else []
    return known[found[0]] if found else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
