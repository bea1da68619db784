"""What the verbs hand back before anything is executed: a checked recipe, a compiled one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic

if TYPE_CHECKING:
    from ftc.compiler.pipeline import Compiled
    from ftc.spec.documents.plan import Plan
    from ftc.spec.sections.recipe import Recipe
    from ftc.verbs.runs import Run

__all__ = ["Checked", "Planned", "Sources"]

Sources = Mapping[str, tuple[str, ...]]
"""Lines of the files that diagnostics point into, by name."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a recipe found.

    Attributes:
        recipe: The recipe, or None when it has errors.
        diagnostics: All findings, sorted by place.
        sources: Lines of the recipe and of what it is made of, for showing places.
    """

    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Sources


@dataclass(frozen=True, slots=True)
class Planned:
    """A compiled recipe.

    Attributes:
        plan: The plan.
        diagnostics: Warnings and notes.
        sources: Lines of the recipe and of what it is made of, for showing places.
        lock_file: The lock beside the recipe, up to date by now unless something was laid on top of the recipe.
        lock_state: `new`, `up to date` or `changed`, as it was found; `left alone` where `changed` by an override.
        lock_changes: What changed in it, a line each.
        run: The run of exactly this plan, if there is one.
        root: The project that the recipe belongs to.
        compiled: The plan with where its inputs lie on this machine.
        recipe_text: The recipe's file, as it was compiled.
    """

    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    sources: Sources
    lock_file: Path
    lock_state: str
    lock_changes: tuple[str, ...]
    run: Run | None
    root: Path
    compiled: Compiled
    recipe_text: bytes

    def _repr_html_(self) -> str:
        from ftc.views.run import plan_html

        return plan_html(self.plan)
