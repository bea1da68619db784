"""Patterns that choose parameters by name: whole parts of a name, with shell wildcards inside a part.

`embed_tokens` fits `model.embed_tokens.weight`, `layers.2?.mlp` fits `model.layers.20.mlp.up_proj.weight`. A pattern
may stand anywhere in a name, so that it fits whatever a library puts before a model's names (`model.`, `bert.`) or an
adapter behind them (`.lora_A.default`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from ftc.spec.language.did_you_mean import nearest

__all__ = ["MOST_PATTERNS", "PATTERN", "ParameterPattern", "close_names", "fits", "fits_any"]

_PART = r"[\w*?\[\]!-]+"
PATTERN = rf"^{_PART}(\.{_PART})*$"
MOST_PATTERNS = 200
"""Patterns that one key of a recipe takes."""
ParameterPattern = Annotated[str, Field(pattern=PATTERN, max_length=200)]
"""Whole parts of parameters' names, where `*`, `?` and `[0-9]` stand for characters of one part."""


def fits(pattern: str, name: str) -> bool:
    """Whether a parameter's name has parts, one behind the other, that fit those of a pattern."""
    wanted, parts = pattern.split("."), name.split(".")
    return any(
        all(fnmatchcase(part, one) for part, one in zip(parts[start:], wanted, strict=False))
        for start in range(len(parts) - len(wanted) + 1)
    )


def fits_any(patterns: Iterable[str], names: Collection[str]) -> bool:
    """Whether one of these patterns fits one of a parameter's names."""
    return any(fits(pattern, name) for pattern in patterns for name in names)


def close_names(pattern: str, names: Iterable[str]) -> str:
    """What to write instead of a pattern that fits no name: the nearest parts, or what the names consist of."""
    width = pattern.count(".") + 1
    runs = dict.fromkeys(run for name in names for run in _runs(name, width))
    if close := nearest(pattern, runs):
        return f"did you mean `{close}`?"
    parts = dict.fromkeys(part for name in names for part in name.split(".") if not part.isdigit())
    containing = [part for part in parts if pattern.strip("*") in part]
    if shown := containing or [*parts]:
        return f"parts of the names are {', '.join(f'`{part}`' for part in shown[:12])}"
    return "nothing that is trained has a name of its own"


def _runs(name: str, width: int) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[start : start + width]) for start in range(len(parts) - width + 1))
