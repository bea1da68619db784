"""What `ftc init` sees in rows, and what it writes for that: columns of some kind, and options of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ftc.spec.language.safe_repr import as_yaml

__all__ = ["Guessed", "Sign", "SignKind", "section_line"]

SignKind = Literal["name", "list", "fractions", "ratings", "content", "lists", "joined", "flags"]
"""A column with a usual name, one whose values are lists besides, or numbers with fractions, or ratings; or one that
looks like it by its values, of which each is a list, or holds several parts; or columns of 0 and 1."""


class Sign(NamedTuple):
    """What tells `ftc init` that a file's rows are for a task: a column that can play a part."""

    part: str
    by: SignKind
    names: tuple[str, ...] = ()
    """Names that count instead of the usual ones; empty for the usual ones."""


class Guessed(NamedTuple):
    """Options of the task that `ftc init` writes where rows have all of these signs."""

    signs: tuple[Sign, ...]
    options: Mapping[str, str | bool | None]
    """None stands for what the last of the signs found: a separator, or columns."""
    why: str
    """Why they are written, `{found}` being what the last sign found; empty where the options say enough."""


def section_line(kind: str, options: Mapping[str, str | bool | tuple[str, ...]]) -> str:
    """A task's section on one line of a recipe."""
    return f"task: {{kind: {kind}{''.join(f', {key}: {as_yaml(value)}' for key, value in options.items())}}}"
