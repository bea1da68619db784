"""The things that can be compared, found by what a user types: files, files at a git revision, runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ftc.compiler.lock.lockfile import parse_lock
from ftc.compiler.recipes.layers import Override
from ftc.compiler.resolve.files.safe_files import project_root, read_named
from ftc.compiler.rules.check import check_recipe
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.difference import Side
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.outputs import reason_of
from ftc.spec.storage.reading import LARGEST_DOCUMENT

__all__ = ["Thing", "read_thing"]


@dataclass(frozen=True, slots=True)
class Thing:
    """One side of a comparison, with everything that it holds.

    Attributes:
        side: What it is and how it was named.
        recipe: The recipe, of a recipe, a plan or a run.
        lock: The lock, of a lock, a plan or a run.
        plan: The plan, of a plan or a run.
        record: The record of a run.
        evaluation: The measurement of a run that came to it.
        folder: Where the recipe lies whose data files these are, or None where nobody can tell.
    """

    side: Side
    recipe: Recipe | None = None
    lock: Lock | None = None
    plan: Plan | None = None
    record: RunRecord | None = None
    evaluation: Evaluation | None = None
    folder: Path | None = None


def read_thing(name: str, overrides: Sequence[Override] = ()) -> Thing | None:
    """Reads a recipe, a lock or a plan, `FILE` or `FILE@REVISION`; None where the name is no such file.

    Args:
        name: The file.
        overrides: What lies on top of it, if it is a recipe.

    Raises:
        Refusal: It has mistakes, or git doesn't know it (FTC516).
        OSError: The file can't be read.
    """
    path, at, revision = Path(name), "", ""
    if not path.is_file():
        file, at, revision = name.rpartition("@")
        path = Path(file)
    if path.suffix not in (".yaml", ".yml", ".json") or not (at or path.is_file()):
        return None
    data = _at_revision(path, revision) if at else read_named(path, path.name, LARGEST_DOCUMENT)
    if path.suffix == ".json":
        return _document(data, name, path)
    checked = check_recipe(data, name, path=None if at else path, project=path, overrides=overrides)
    if checked.recipe is None:
        refusal = Refusal(checked.diagnostics)
        refusal.sources = dict(checked.sources)
        raise refusal
    side = Side(kind="recipe", name=name, sha256=checked.recipe.digest())
    return Thing(side, recipe=checked.recipe, folder=path.parent)


def _document(data: bytes, name: str, path: Path) -> Thing:
    if _is_lock(data, path):
        lock = parse_lock(data, name)
        return Thing(Side(kind="lock", name=name, sha256=lock.digest()), lock=lock, folder=path.parent)
    try:
        plan = Plan.model_validate_json(data)
    except ValidationError as problem:
        summary = f"`{name}` is not a lock or a plan"
        help = "use recipes, locks, saved plans or runs"
        raise Refusal([diagnostic("FTC510", summary, help=help, notes=reason_of(problem))]) from None
    folder = (project_root(path) / plan.recipe_file).parent
    side = Side(kind="plan", name=name, sha256=plan.sha256)
    return Thing(side, recipe=plan.recipe, lock=plan.lock, plan=plan, folder=folder)


def _is_lock(data: bytes, path: Path) -> bool:
    """Whether a file says that it is a lock; by its name where it can't be read at all."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):  # the second by brackets that nest too deep
        return path.name.endswith(".lock.json")
    return isinstance(plain, dict) and str(plain.get("schema")).startswith("ftc.lock/")


def _at_revision(path: Path, revision: str) -> bytes:
    """A file as git has it. `cat-file` runs no filter and no program of the repository's choice."""
    if not revision or revision.startswith("-") or ":" in revision:
        raise Refusal([_unknown(path, revision, "a revision is a branch, a tag or a commit")])
    place = path.parent if path.parent.is_dir() else Path()
    words = ["git", "-C", str(place), "cat-file", "blob", f"{revision}:./{path.name}"]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except OSError as error:
        raise Refusal([_unknown(path, revision, f"git can't be run: {error.strerror}")]) from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise Refusal([_unknown(path, revision, reason)])
    return done.stdout


def _unknown(path: Path, revision: str, why: str) -> Diagnostic:
    help = "`git log --oneline -- FILE` lists the commits that have it"
    return diagnostic("FTC516", f"git has no `{path}` at `{revision}`", help=help, notes=why)
