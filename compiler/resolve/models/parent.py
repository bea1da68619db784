"""The earlier run that `model.base: run:ID` names: found, proved unchanged, and turned into a model to load.

Only its documents and the files that its record names are read; nothing in them is executed. What a whole model's
folder holds goes through the base model's own door, as any other folder does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.compiler.resolve.models.beginning import EarlierRun
from ftc.compiler.resolve.models.companions import World
from ftc.compiler.resolve.rows.tested_rows import read_tested
from ftc.spec.canonical import own_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.ledger import merges_of, read_ledger
from ftc.spec.documents.lineage import ADAPTER_FILES, RUN_PREFIX, Beginning, Parent, Way
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.merged import MERGE_FILE, MergedModel
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.run_folders import named_run, read_document
from ftc.spec.strategies import strategy_card

__all__ = ["left_model", "resolve_parent"]

_PATH = "model.base"


def resolve_parent(recipe: Recipe, lock: Lock | None, world: World) -> EarlierRun:
    """The run that a recipe whose base is `run:NAME` begins from.

    A run that the lock keeps for the same name stays, though the recipe that it belongs to has run again since.

    Args:
        recipe: The recipe.
        lock: The lock on disk.
        world: Where the recipe lies.

    Raises:
        Refusal: There is no such run (FTC520), it can't be read (FTC524), isn't finished (FTC561) or was changed
            (FTC562), or it has no merged model (FTC565).
    """
    span = world.span_of(_PATH)
    try:
        folder = _pinned(recipe, lock, world.root) or _named(recipe.model.base.removeprefix(RUN_PREFIX), world)
        place = RunFolder(folder)
        run = _Run(place, read_document(place.plan, Plan), read_document(place.record, RunRecord))
        merges = recipe.model.create_new_adapter or strategy_card(recipe.strategy).is_whole
        return _beginning(run, world, merges=merges)
    except UnsafePath as error:
        raise Refusal([error.diagnostic(span, _PATH)]) from error
    except Refusal as refusal:
        raise Refusal([replace(one, span=span, path=_PATH) for one in refusal.diagnostics]) from None


def left_model(name: str, kept: str | None, world: World, path: str, fits: Callable[[Plan, str], None]) -> EarlierRun:
    """The whole model that a run left, or that its adapter was merged into, for a use beside the trained model.

    Args:
        name: `run:NAME`, as a recipe has it.
        kept: Id of the run that the lock keeps for this name, which stays while it is there; None for none.
        world: Where the recipe lies.
        path: Place of the name in the recipe.
        fits: Refuses a run of another kind by its plan and id.

    Raises:
        Refusal: It doesn't fit, there is no such run (FTC520), it can't be read (FTC524), isn't finished (FTC561) or
            was changed (FTC562), or its adapter has no merged model (FTC565).
    """
    text = name.removeprefix(RUN_PREFIX)
    try:
        try:
            folder = _named(kept or text, world)
        except Refusal:
            if kept is None:
                raise
            folder = _named(text, world)
        place = RunFolder(folder)
        run = _Run(place, read_document(place.plan, Plan), read_document(place.record, RunRecord))
        fits(run.plan, run.record.id)
        return _beginning(run, world, merges=True)
    except UnsafePath as error:
        raise Refusal([error.diagnostic(world.span_of(path), path)]) from error
    except Refusal as refusal:
        raise Refusal([replace(one, span=world.span_of(path), path=path) for one in refusal.diagnostics]) from None


class _Run(NamedTuple):
    """A run's folder, and what it says."""

    place: RunFolder
    plan: Plan
    record: RunRecord


def _pinned(recipe: Recipe, lock: Lock | None, root: Path) -> Path | None:
    """The folder of the run that the lock keeps, while the recipe asks for the same and it is there."""
    asked = {"base": recipe.model.base, "revision": recipe.model.revision}
    kept = lock.model.settings.get("parent") if lock and lock.model.asked == asked else None
    if not isinstance(kept, dict) or "folder" not in kept:
        return None
    folder = safe_path(root, str(kept["folder"]))
    return folder if RunFolder(folder).record.is_file() else None


def _named(text: str, world: World) -> Path:
    """A run's folder by its path from the recipe, its id or the beginning of that, or its recipe's name."""
    if "/" in text or text.startswith("."):
        folder = safe_path(world.root, text, world.folder)
        if RunFolder(folder).record.is_file():
            return folder
        help = "`ftc run list` lists the runs of this project"
        raise Refusal([diagnostic("FTC520", f"`{text}` is not the folder of a run", help=help)])
    return named_run(text, world.root)


def _beginning(run: _Run, world: World, *, merges: bool) -> EarlierRun:
    """What of a run is used, once it is known to be what its record says: of an adapter, where `merges`, the model that
    it was merged into.
    """
    place, plan, record = run
    if not record.is_finished:
        help = f"`ftc apply {plan.recipe_file}` continues it, or name a finished run; `ftc run list` lists them"
        summary = f"run `{record.id}` is {record.status}, so it left no model to begin from"
        raise Refusal([diagnostic("FTC561", summary, help=help)])
    is_whole = strategy_card(plan.settings.strategy).is_whole
    way: Way = "model" if is_whole else "merged" if merges else "continues"
    left, prefix = record.outputs, "model/" if is_whole else "adapter/"
    names = [name for name in left if name.startswith(prefix)] if is_whole else [prefix + one for one in ADAPTER_FILES]
    used = {name.removeprefix(prefix): left[name] for name in names if name in left}
    kept = place.test_rows.name
    names += [kept] if kept in left else []
    damaged, tested = [*_damaged_documents(run), *_damaged_files(run, names, world)], None
    try:
        tested = read_tested(safe_path(world.root, kept, place.path)) if kept in left else None
    except (OSError, ValueError) as error:
        damaged.append(f"`{kept}` can't be read: {error}")
    if damaged or not used or record.final_weights_sha256 is None:
        help = f"restore its files from a copy, or run `ftc apply {plan.recipe_file} --again` and name the new run"
        summary = f"run `{record.id}` isn't what it was when it ended"
        raise Refusal([diagnostic("FTC562", summary, help=help, notes=damaged or ["its record names no weights"])])
    before = plan.settings.model.parent
    parent = Parent(
        run_id=record.id,
        name=plan.name,
        folder=place.path.resolve().relative_to(world.root.resolve()).as_posix(),
        job_sha256=plan.job_sha256(),
        record_sha256=record.sha256,
        weights_sha256=record.final_weights_sha256,
        way=way,
        files=used if way == "continues" else {},
        ancestors=before.lineage if before else (),
    )
    if way == "model":
        digests = {name: facts.sha256 for name, facts in used.items()}
        return EarlierRun(Beginning(parent, plan, _from_recipe(place.model, world), tested), None, digests)
    if way == "merged":
        return _merged(parent, plan, tested, world)
    digests = {name: facts.sha256 for name, facts in plan.lock.model.files.items()}
    base, commit, content = _base_of(plan, world), plan.lock.model.commit, plan.lock.model.content_sha256
    return EarlierRun(Beginning(parent, plan, base, tested), commit, digests, content, adapter=place.adapter)


def _damaged_documents(run: _Run) -> Iterator[str]:
    """Which of a run's documents are not those that it left."""
    place, plan, record = run
    if own_digest(place.record) != record.sha256:
        yield "`record.json` was changed: it doesn't match its own digest"
    if own_digest(place.plan) != plan.sha256 or plan.sha256 != record.plan_sha256:
        yield "`plan.json` is not the plan that the record names"


def _damaged_files(run: _Run, names: Sequence[str], world: World) -> Iterator[str]:
    """Which of the files that are used of a run are not those that it left."""
    for name in names:
        said, path = run.record.outputs.get(name), safe_path(world.root, name, run.place.path)
        try:
            found = world.digests.file(path).sha256 if path.is_file() else None
        except OSError as error:
            yield f"`{name}` can't be read: {error.strerror or error}"
            continue
        if said is None or found is None:
            yield f"`{name}` is missing"
        elif found != said.sha256:
            yield f"`{name}` has the sha256 {found[:12]}, the record says {said.sha256[:12]}"


def _base_of(plan: Plan, world: World) -> str:
    """The base of a run, as a recipe elsewhere in the project names it."""
    base = plan.settings.model.base
    if plan.lock.model.commit is not None:
        return base
    try:
        folder = safe_path(world.root, base, (world.root / plan.recipe_file).parent)
    except UnsafePath:
        return base  # in a folder that the machine's owner allows
    return _from_recipe(folder, world) if folder.is_dir() else base


def _from_recipe(folder: Path, world: World) -> str:
    """A folder's path from the recipe, which can't be taken for an id of the hub."""
    path = Path(os.path.relpath(folder.resolve(), world.folder.resolve())).as_posix()
    return path if path.startswith(".") else f"./{path}"


def _merged(parent: Parent, plan: Plan, tested: frozenset[bytes] | None, world: World) -> EarlierRun:
    """The newest merged model of a run's adapter that is still there and is the one that the ledger knows.

    Raises:
        Refusal: There is none (FTC565).
    """
    missing: list[str] = []
    for merge in reversed(merges_of(read_ledger(world.root), parent.run_id)):
        try:
            folder = safe_path(world.root, merge.folder)
            merged = MergedModel.model_validate_json((folder / MERGE_FILE).read_bytes())
        except (UnsafePath, OSError, ValueError):
            missing.append(f"`{merge.folder}`, where it was merged on {merge.at[:10]}, is not there")
            continue
        if (merged.content_sha256, merged.adapter_sha256) != (merge.content_sha256, parent.weights_sha256):
            missing.append(f"`{merge.folder}` is another model than the ledger says")
            continue
        digests = {name: facts.sha256 for name, facts in merged.files.items()}
        beginning = Beginning(parent, plan, _from_recipe(folder, world), tested)
        return EarlierRun(beginning, None, digests, content=merge.content_sha256)
    summary = f"run `{parent.run_id}` has no merged model in this project"
    help = f"`ftc run merge {parent.run_id} -o models/{plan.name}-merged` makes one; then plan again"
    raise Refusal([diagnostic("FTC565", summary, help=help, notes=missing)])
