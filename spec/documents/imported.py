"""What became of another tool's configuration: a recipe or reasons, and the fate of every key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ftc.spec.diagnostics import Diagnostic

__all__ = ["TOOLS", "Added", "Fate", "Imported", "KeyFate", "Tool"]

Tool = Literal["axolotl", "llamafactory", "openai", "oumi", "torchtune", "trl"]
"""A tool whose configurations can be read, as `--from` takes it."""
TOOLS: dict[Tool, str] = {
    "axolotl": "Axolotl",
    "llamafactory": "LLaMA-Factory",
    "openai": "an OpenAI fine-tuning job",
    "oumi": "Oumi",
    "torchtune": "torchtune",
    "trl": "TRL",
}
"""All of them, with their names for people."""


class Fate(StrEnum):
    """What becomes of a key. Each key of a configuration has exactly one fate."""

    CARRIED = "carried"
    """It stands in the recipe, under the paths that are named with it."""
    NOT_NEEDED = "not needed"
    """The recipe means the same without it."""
    NOT_CARRIED = "not carried"
    """It had an effect that the recipe does not have."""
    IGNORED = "ignored"
    """The other tool itself never looks at it."""
    CONFLICT = "conflict"
    """It contradicts another key of the same file."""


@dataclass(frozen=True, slots=True)
class KeyFate:
    """One key, or one block of keys, of the configuration.

    Attributes:
        key: Dotted path in the configuration, such as `datasets[0].path`.
        line: Its line, from 1.
        fate: What became of it, and of all keys below it.
        reason: Why, in a phrase; empty where there is nothing to add.
        help: What the user can do about it; empty where nothing needs doing.
        paths: Dotted paths of the recipe that hold it; empty unless carried.
    """

    key: str
    line: int
    fate: Fate
    reason: str = ""
    help: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """A recipe value that no key of the configuration gives, such as a default of the other tool."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        tool: The tool's name, such as `Axolotl`.
        file: The configuration, as the user named it.
        recipe: The recipe's text, which `ftc validate` accepts, or None with at least one reason.
        keys: The fate of every key, in the order of the file.
        added: Values of the recipe that no key gives.
        reasons: Why there is no recipe.
        lines: The lines of the configuration, for showing places.
    """

    tool: str
    file: str
    recipe: str | None
    keys: tuple[KeyFate, ...]
    added: tuple[Added, ...]
    reasons: tuple[Diagnostic, ...]
    lines: tuple[str, ...]

    def count(self, fate: Fate) -> int:
        """How many keys share a fate."""
        return sum(key.fate is fate for key in self.keys)
