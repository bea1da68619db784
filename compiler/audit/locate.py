"""Where a past run's inputs lie on this machine now, found without changing anything and without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ftc.compiler.audit.contradictions import Witnesses
from ftc.compiler.audit.static_audit import AuditInputs
from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.compiler.resolve.machine.environment import asked_extras, resolve_environment
from ftc.spec.companions import COMPANIONS, Role
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.storage.paths import cache_folder, streams_folder
from ftc.spec.storage.wordnet import lacking_data

__all__ = ["audit_inputs", "companion_folders", "model_folder"]

Found = TypeVar("Found")


def audit_inputs(
    plan: Plan, root: Path, pages: Mapping[str, str], previous: RunRecord | None, witnesses: Witnesses
) -> AuditInputs:
    """Looks for the model, the data files and the token streams of a plan that belongs to the project at `root`."""
    folder = (root / plan.recipe_file).parent
    streams = streams_folder(plan.stream_key)
    return AuditInputs(
        model=model_folder(plan, root),
        companions=companion_folders(plan, root),
        lacking=lacking_data(plan.settings.eval),
        sources={use: _source(locked, folder, root) for use, locked in plan.lock.data.sources.items()},
        streams=streams if streams.is_dir() else None,
        environment=resolve_environment(cache_folder(), asked_extras(plan.recipe)),
        pages=pages,
        previous=previous,
        witnesses=witnesses,
        cache=cache_folder(),
    )


def model_folder(plan: Plan, root: Path) -> Path | None:
    """Where a plan's base model lies; None where it isn't on this machine."""
    return _folder(plan, root, plan.recipe.model.base, plan.lock.model.commit)


def companion_folders(plan: Plan, root: Path) -> dict[Role, Path]:
    """Where the models beside the base lie, by role; those that the plan asks for and that are on this machine."""
    found = {}
    for card in COMPANIONS:
        asked, pinned = card.asked(plan.recipe), card.pinned(plan.settings)
        folder = _folder(plan, root, asked.base, pinned.commit) if asked and pinned else None
        if folder is not None:
            found[card.role] = folder
    return found


def _folder(plan: Plan, root: Path, base: str, commit: str | None) -> Path | None:
    folder = (root / plan.recipe_file).parent
    if commit is None:
        found = _or_none(lambda: safe_path(root, base, folder))
        return found if found is not None and found.is_dir() else None
    hub, digests = Hub(offline=True), DigestCache(cache_folder() / "digests")
    snapshot = _or_none(lambda: hub.model_snapshot(base, commit, digests, lambda path: None))
    return snapshot.folder if snapshot else None


def _source(locked: SourceLock, folder: Path, root: Path) -> Path | None:
    if "path" in locked.asked:
        found = _or_none(lambda: safe_path(root, str(locked.asked["path"]), folder))
        return found if found is not None and found.is_file() else None
    hub, digests = Hub(offline=True), DigestCache(cache_folder() / "digests")
    repo, file = str(locked.asked["hub"]), locked.file_in_repository
    cached = _or_none(lambda: hub.dataset_file(repo, locked.commit, file, digests, lambda path: None))
    return cached.path if cached else None


def _or_none(look_up: Callable[[], Found]) -> Found | None:
    try:
        return look_up()
    except (Refusal, UnsafePath):
        return None
