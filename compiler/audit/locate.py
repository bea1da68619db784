"""Where a past run's inputs lie on this machine now, and who used a digest: looked up, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ftc.compiler.audit.contradictions import Witnesses
from ftc.compiler.audit.pages import Pages
from ftc.compiler.audit.static_audit import AuditInputs
from ftc.compiler.lock.lockfile import leaves
from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.remote import cached_file
from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.compiler.resolve.machine.environment import environment_of
from ftc.compiler.resolve.models.model_paths import allowed_folders, find_outside
from ftc.compiler.tokens.row_index import recall_rows
from ftc.compiler.tokens.stream_manifest import kept_streams
from ftc.spec.base import Document
from ftc.spec.companions import COMPANIONS, Role, recipes_name
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.package import unpacked_place
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.names import InsidePath
from ftc.spec.storage.cached import DIGESTS
from ftc.spec.storage.paths import RunFolder, cache_folder
from ftc.spec.storage.reading import parse_json, read_regular
from ftc.spec.storage.wordnet import lacking_data

__all__ = [
    "Use",
    "audit_inputs",
    "base_absent",
    "companion_folders",
    "missing_models",
    "model_folder",
    "parent_folder",
    "source_files",
    "uses_of",
]

Found = TypeVar("Found")


def audit_inputs(plan: Plan, root: Path, pages: Pages, previous: RunRecord | None, witnesses: Witnesses) -> AuditInputs:
    """Looks for the model, the data files and the token streams of a plan that belongs to the project at `root`."""
    return AuditInputs(
        model=model_folder(plan, root),
        companions=companion_folders(plan, root),
        parent=parent_folder(plan, root),
        lacking=lacking_data(plan.settings.eval),
        sources={key: file for key, _, _, file in source_files(plan, root)},
        streams=kept_streams(plan),
        environment=environment_of(
            plan.recipe, reads_images=plan.settings.model.vision is not None, folder=cache_folder()
        ),
        pages=pages,
        previous=previous,
        witnesses=witnesses,
        cache=cache_folder(),
    )


def source_files(plan: Plan, root: Path) -> Iterator[tuple[str, str, str, Path | None]]:
    """Key, name, sha256 by the lock, and place of every data file of a plan; None for one that isn't here."""
    folder = (root / plan.recipe_file).parent
    for use, locked in plan.lock.data.sources.items():
        for key, name, facts in locked.each_file(use):
            yield key, name, facts.sha256, _source(locked, name, facts.sha256, folder, root)


def model_folder(plan: Plan, root: Path) -> Path | None:
    """Where a plan's base model lies; None where it isn't on this machine."""
    locked = plan.lock.model
    return _folder(plan, root, plan.settings.model.base, locked.commit, locked.files)


def base_absent(plan: Plan, root: Path) -> str:
    """Where `model_folder` looked for a base model that isn't on this machine, in words."""
    base, locked = plan.settings.model.base, plan.lock.model
    if locked.commit is not None:
        from huggingface_hub import constants

        cache = constants.HF_HUB_CACHE
        return f"its base model `{base}` is not here: the hub's cache, {cache}, has no complete commit {locked.commit}"
    looked = [str((root / plan.recipe_file).parent / base)]
    looked += [str(folder / base) for folder in _or_none(allowed_folders) or () if not Path(base).is_absolute()]
    return f"its base model `{base}` is not here: looked for {', '.join(looked)}"


def companion_folders(plan: Plan, root: Path) -> dict[Role, Path]:
    """Where the models beside the base lie, by role; those that the plan asks for and that are on this machine."""
    found: dict[Role, Path] = {}
    for card in COMPANIONS:
        asked, pinned = card.asked(plan.recipe), card.pinned(plan.settings)
        folder = None
        if asked and pinned:
            base = recipes_name(asked, pinned, plan.recipe_file)
            folder = _folder(plan, root, base, pinned.commit, pinned.files)
        if folder is not None:
            found[card.role] = folder
    if (parent := plan.settings.model.parent) is not None and parent.continues:
        folder = _or_none(lambda: safe_path(root, parent.adapter))
        if folder is not None and folder.is_dir():
            found["parent"] = folder
    return found


def missing_models(plan: Plan, model: Path | None, companions: Mapping[Role, Path]) -> list[str]:
    """Models that a plan needs and that aren't on this machine, in words."""
    missing = [] if model else [f"the model `{plan.settings.model.base}`"]
    asked = {card.role: card.pinned(plan.settings) for card in COMPANIONS}
    missing += [
        f"the {role.replace('_', ' ')} `{pinned.base}`"
        for role, pinned in asked.items()
        if pinned and role not in companions
    ]
    parent = plan.settings.model.parent
    if parent is not None and parent.continues and "parent" not in companions:
        missing.append(f"the adapter of run `{parent.run_id}`")
    return missing


def parent_folder(plan: Plan, root: Path) -> Path | None:
    """Where the run lies that a plan's run begins from; None where there is none, or it isn't in the project."""
    parent = plan.settings.model.parent
    folder = _or_none(lambda: safe_path(root, parent.folder)) if parent else None
    return folder if folder is not None and RunFolder(folder).record.is_file() else None


def _folder(plan: Plan, root: Path, base: str, commit: str | None, files: dict[InsidePath, FileFacts]) -> Path | None:
    folder = (root / plan.recipe_file).parent
    unpacked = root / unpacked_place(files)  # by `ftc unpack`
    if commit is None:
        found = _or_none(lambda: safe_path(root, base, folder))
        if found is not None and found.is_dir():
            return found
        if outside := _or_none(lambda: find_outside(base)):
            return outside[0]
        return unpacked if unpacked.is_dir() else None
    hub, digests = Hub(offline=True), DigestCache(DIGESTS.under(cache_folder()))
    snapshot = _or_none(lambda: hub.model_snapshot(base, commit, digests, lambda path: None))
    return snapshot.folder if snapshot else unpacked if unpacked.is_dir() else None


def _source(locked: SourceLock, name: str, sha256: str, folder: Path, root: Path) -> Path | None:
    """A source's file of this name."""
    if locked.is_at_address:
        return cached_file(cache_folder(), name, sha256)
    if "path" in locked.asked:
        found = _or_none(lambda: safe_path(root, name, folder))
        return found if found is not None and found.is_file() else None
    hub, digests = Hub(offline=True), DigestCache(DIGESTS.under(cache_folder()))
    repo, file = str(locked.asked.get("hub", "")), name if locked.files else locked.file_in_repository
    cached = _or_none(lambda: hub.dataset_file(repo, locked.commit, file, digests, lambda path: None))
    return cached.path if cached else None


def _or_none(look_up: Callable[[], Found]) -> Found | None:
    try:
        return look_up()
    except (Refusal, UnsafePath):
        return None


class Use(Document):
    """One place in which a digest stands."""

    kind: str
    """`lock` or `run`."""
    file: str
    """The document, relative to the project's root."""
    name: str
    """Name of the lock's recipe, or of the run."""
    path: str
    """Where in the document, such as `data.sources.rows.file.sha256`."""
    status: str = ""
    """Of a run."""


def uses_of(root: Path, digest: str, cache: Path) -> tuple[Use, ...]:
    """Every lock and run of a project that holds a digest, or rows among which it is.

    Args:
        root: The project's root.
        digest: A sha256, or its first 8 digits or more.
        cache: ftc's cache, which knows the digests of single rows.
    """
    wanted = digest.lower()
    return tuple(use for one in _documents(root) for use in _uses_in(one, wanted, cache))


@dataclass(frozen=True, slots=True)
class _Document:
    kind: str
    file: str
    name: str
    plain: dict[str, Any]
    status: str = ""


def _documents(root: Path) -> Iterator[_Document]:
    runs = root / "runs"
    for file in sorted(root.rglob("*.lock.json")):
        if not file.is_relative_to(runs) and ".git" not in file.parts:
            yield from _read("lock", file, root, file.name.removesuffix(".lock.json"))
    for folder in sorted(runs.glob("*/*")):
        place = RunFolder(folder)
        status = "".join(one.plain.get("status", "") for one in _read("run", place.record, root, folder.name))
        for file in (place.plan, place.record):
            yield from _read("run", file, root, folder.name, status)


def _read(kind: str, file: Path, root: Path, name: str, status: str = "") -> Iterator[_Document]:
    try:
        plain = parse_json(read_regular(file))
    except (OSError, ValueError):
        return
    if isinstance(plain, dict):
        yield _Document(kind, file.relative_to(root).as_posix(), name, plain, status)


def _uses_in(document: _Document, wanted: str, cache: Path) -> Iterator[Use]:
    for path, value in leaves(document.plain):
        where = path
        rows: Iterable[bytes] = (recall_rows(cache, str(value)) or ()) if path.endswith("rows_sha256") else ()
        number = next((number for number, row in enumerate(rows, 1) if row.hex().startswith(wanted)), None)
        if number is not None:
            where = f"{path.removesuffix('.rows_sha256')}, row {number:,}"
        elif not (isinstance(value, str) and len(value) == 64 and value.startswith(wanted)):
            continue
        yield Use(kind=document.kind, file=document.file, name=document.name, path=where, status=document.status)
