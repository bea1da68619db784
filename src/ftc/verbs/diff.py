"""Comparisons as a function: two recipes, locks, plans or runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.compiler.diff.sides import Thing
    from ftc.spec.documents.difference import Difference

__all__ = ["diff", "diff_from_run"]


def diff(old: Run | Path | str, new: Run | Path | str, *, folder: Path | str = ".") -> Difference:
    """What differs between two things, why it matters, and what would have to be done.

    They are compared at the deepest level that both have: plans with runs, locks with plans, recipes with everything.

    Args:
        old: What there is: a recipe, a lock or a saved plan, each also as `FILE@REVISION` of git, or a run.
        new: What is wanted, likewise.
        folder: Any folder of the project whose runs may be named.

    Raises:
        Refusal: One of them can't be read, or there is no such run.
        OSError: A file can't be read.
    """
    from ftc.compiler.diff.compare import compare
    from ftc.spec.storage.paths import cache_folder

    return compare(_thing(old, folder), _thing(new, folder), cache_folder())


def diff_from_run(run: Run, plan_name: str, new: Thing) -> Difference:
    """What differs between a run and something that was read already."""
    from ftc.compiler.diff.compare import compare
    from ftc.spec.storage.paths import cache_folder

    return compare(_run(run, plan_name), new, cache_folder())


def _thing(target: Run | Path | str, folder: Path | str) -> Thing:
    from ftc.compiler.diff.sides import read_thing

    if isinstance(target, Run):
        return _run(target, target.record.id)
    return read_thing(str(target)) or _run(find_run(str(target), folder), str(target))


def _run(run: Run, name: str) -> Thing:
    from ftc.compiler.diff.sides import Thing
    from ftc.spec.documents.difference import Side

    return Thing(
        Side(kind="run", name=name, sha256=run.record.sha256),
        recipe=run.plan.recipe,
        lock=run.plan.lock,
        plan=run.plan,
        record=run.record,
        evaluation=run.evaluation,
        folder=(run.root / run.plan.recipe_file).parent,
    )
