"""`ftc unpack`: a package of `ftc pack`, compared with its list and its plan, then put where the plan expects it.

A package may come from a stranger. Where a file belongs follows from the plan, so that nothing lands elsewhere; headers
are compared and never interpreted, so that links and odd names can't occur; nothing that is here is replaced. Token
streams are marked as unpacked in ftc's cache, so that no plan takes them for what its own rows would give.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.package import (
    LIST_FILE,
    PROJECT,
    STREAMS,
    STREAMS_FILE,
    Package,
    UnpackReport,
    is_plain,
    packed_models,
)
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.atomic_write import sync_folder
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.outputs import reason_of
from ftc.spec.storage.paths import streams_folder
from ftc.spec.storage.plain_tar import END, chunks, header, padding, size_in_tar, size_of_first
from ftc.spec.storage.reading import LARGEST_DOCUMENT, open_regular, read_regular
from ftc.verbs.pack import recipe_files
from ftc.verbs.plan import is_expected, located_plan, read_plan, too_short

if TYPE_CHECKING:
    from ftc.compiler.tokens.stream_manifest import Manifest, StreamKey
    from ftc.verbs.plan import Planned

__all__ = ["unpack", "unpacked_plan"]

_MODEL_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Of files of a model: no other is loaded, and some others hold programs."""
_MOST_FILES = 100_000


def unpack(file: Path | str, folder: Path | str | None = None, *, expect: str | None = None) -> UnpackReport:
    """Unpacks what `ftc pack` wrote, so that `ftc apply` runs its plan here without the rows and without the hub.

    Each file is compared with its digest before anything is put in place. Token streams go into ftc's cache. A package
    that is unpacked already is compared and left as it is.

    Args:
        file: The package.
        folder: Where the project goes; the job's name in the current folder where left out.
        expect: Beginning of the digest of the package, which covers every byte, or of its plan or job.

    Raises:
        Refusal: The package is none, is damaged, or has files that its plan doesn't name (FTC712), another one is
            expected (FTC700), other files are in the way (FTC651), or there is no room (FTC663).
        OSError: A file can't be read or written.
    """
    from ftc.compiler.audit.locate import companion_folders, missing_models, model_folder

    with open_regular(Path(file)) as opened, ExitStack() as stack:
        listed = _listed(opened, Path(file))
        digests = listed.digest(), listed.plan_sha256, listed.job_sha256
        if expect is not None and not is_expected(expect, *digests):
            found = f"expected {expect}, found package {digests[0][:12]} with plan {listed.plan_sha256[:12]}"
            notes = [found, *too_short(expect)]
            raise Refusal([diagnostic("FTC700", "the package is not the expected one", notes=notes, help=_AGAIN)])
        target = Path(folder if folder is not None else listed.name).absolute()
        size = sum(facts.size for facts in listed.files.values())
        there = {name.removeprefix(PROJECT): facts for name, facts in listed.files.items() if name.startswith(PROJECT)}
        _refuse_occupied(target, there)
        scratch = stack.enter_context(_scratch(target if target.is_dir() else target.parent))
        _refuse_small(scratch, size, "files", "free space, or name a folder on another disk")
        for name in listed.order:
            _extract(opened, name, listed.files[name], scratch)
        if opened.read(len(END) + 1) != END:
            raise _damaged("it doesn't end where its list ends")
        plan = _judged(listed, scratch)
        made_from, manifest = _judged_streams(plan, listed, scratch)
        is_new = _keep_streams(plan, scratch / STREAMS, made_from, manifest)
        make_ignored(target / ".ftc")
        is_new |= _put(there, scratch / PROJECT, target)
    marks, key = _marks(target), {"plan_sha256": plan.sha256}
    if marks.recall(_mark(plan), key) != listed.to_json():
        marks.keep(_mark(plan), key, listed.to_json())
        is_new = True
    if marks.recall(_mark(plan), key) is None:
        raise _not_ours(f"that `{plan.name}` was unpacked can't be noted in `{marks.folder}`")
    return UnpackReport(
        status="unpacked" if is_new else "up to date",
        folder=str(target),
        plan=listed.plan,
        sha256=listed.digest(),
        name=listed.name,
        plan_sha256=plan.sha256,
        job_sha256=listed.job_sha256,
        files=len(listed.files),
        size=size,
        missing=tuple(missing_models(plan, model_folder(plan, target), companion_folders(plan, target))),
    )


def unpacked_plan(plan: Plan, root: Path) -> Planned | None:
    """A saved plan that was unpacked into a project, with where its inputs lie; None where it was not unpacked there.

    Raises:
        Refusal: Its recipe has changed since (FTC512), an input is not here (FTC704), or another user or machine
            unpacked it (FTC713).
    """
    from ftc.compiler.resolve.files.safe_files import read_recipe

    marks = _marks(root)
    if not (marks.folder / _mark(plan)).is_file():
        return None
    if marks.recall(_mark(plan), {"plan_sha256": plan.sha256}) is None:
        raise _not_ours(f"the package of `{plan.name}` was unpacked by another user or machine, or changed since")
    recipe_files(plan, root)

    def missing() -> Planned:
        raise Refusal([])

    help = "put it there, or unpack a package that has it: `ftc pack --models all`"
    found = located_plan(plan, root, missing, help=help)
    return replace(found, recipe_text=read_recipe(root / plan.recipe_file))


def _marks(root: Path) -> Cache:
    """Which packages this user unpacked into a project on this machine."""
    return Cache(root / ".ftc" / "packages")


def _mark(plan: Plan) -> str:
    return f"{plan.sha256[:32]}.json"


def _listed(opened: BinaryIO, file: Path) -> Package:
    """The list that a package begins with; what follows it is as long as it says.

    Raises:
        Refusal: FTC712.
    """
    size = size_of_first(opened, LIST_FILE)
    if size is None or size > LARGEST_DOCUMENT:
        raise Refusal([diagnostic("FTC712", f"`{file.name}` is not a package of `ftc pack`", help=_AGAIN)])
    data = opened.read(size)
    try:
        listed = Package.model_validate_json(data)
    except ValidationError as problem:
        raise _damaged(f"its list can't be read: {reason_of(problem)}") from None
    names = [*listed.files]
    if listed.to_text().encode() != data or opened.read(len(padding(size))) != padding(size):
        raise _damaged("its list is not as ftc writes it")
    if not {PROJECT + listed.plan, STREAMS_FILE} <= listed.files.keys() or len(names) > _MOST_FILES:
        raise _damaged("its list has no plan, no token streams, or too many files")
    if odd := next((one for one in names if not _is_expected(one) or listed.files[one].size < 0), None):
        raise _damaged(f"its list has a file that no package has: {odd!r}")
    wanted = size_in_tar(size) + sum(size_in_tar(one.size) for one in listed.files.values()) + len(END)
    if (found := os.fstat(opened.fileno()).st_size) != wanted:
        raise _damaged(f"it has {found:,} bytes, and its list calls for {wanted:,}")
    return listed


def _is_expected(name: str) -> bool:
    """Whether a name may stand in a list at all; whether it belongs there, its plan says."""
    if name == STREAMS_FILE:
        return True
    part = next((one for one in (PROJECT, STREAMS) if name.startswith(one)), None)
    return part is not None and is_plain(name.removeprefix(part).removeprefix(".ftc/models/"))


def _refuse_occupied(target: Path, files: Mapping[str, FileFacts]) -> None:
    """Lets pass a folder in which each file is missing, or is the same.

    Raises:
        Refusal: FTC651, FTC653.
    """
    help = "name another folder; nothing was changed"
    if not target.parent.is_dir():
        raise Refusal([diagnostic("FTC653", f"there is no folder `{target.parent}` for `{target.name}`", help=help)])
    if os.path.lexists(target) and not target.is_dir():
        raise Refusal([diagnostic("FTC651", f"`{target}` is not a folder", help=help)])
    named = {part for name in (".ftc/packages", *files) for part in (Path(name), *Path(name).parents)} - {Path()}
    if link := next((one for one in sorted(named) if (target / one).is_symlink()), None):
        raise Refusal([diagnostic("FTC651", f"`{target / link}` is a link", help=help)])
    for name, facts in files.items():
        place = target / name
        if os.path.lexists(place) and not (place.is_file() and _is_same(place, facts)):
            summary = f"`{place}` exists and is not the file of the package"
            raise Refusal([diagnostic("FTC651", summary, help=help)])


def _is_same(file: Path, facts: FileFacts) -> bool:
    return file.stat().st_size == facts.size and file_digest(file) == facts.sha256


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for files until all of them are compared."""
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        (scratch / PROJECT / ".ftc").mkdir(parents=True)  # a project of its own, which no path in it leaves
        (scratch / STREAMS).mkdir()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_small(folder: Path, needed: int, what: str, help: str) -> None:
    """Raises a refusal where there is no room (FTC663)."""
    if (free := shutil.disk_usage(folder).free) < needed:
        from ftc.views.numbers import byte_size

        summary = f"the package's {what} need {byte_size(needed)} on disk, but only {byte_size(free)} are free"
        raise Refusal([diagnostic("FTC663", summary, help=help)])


def _extract(opened: BinaryIO, name: str, facts: FileFacts, scratch: Path) -> None:
    """Copies the next file of a package, and compares it.

    Raises:
        Refusal: FTC712.
    """
    if opened.read(len(block := header(name, facts.size))) != block:
        raise _damaged(f"it has something else in the place of `{name}`")
    place, found = scratch / name, hashlib.sha256()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        for data in chunks(opened, facts.size):
            file.write(data)
            found.update(data)
        file.flush()
        os.fsync(file.fileno())
    if found.hexdigest() != facts.sha256 or opened.read(len(padding(facts.size))) != padding(facts.size):
        raise _damaged(f"`{name}` has other bytes than its list says")


def _judged(listed: Package, scratch: Path) -> Plan:
    """The plan, by which everything else in the package is judged.

    Raises:
        Refusal: FTC712, or what is wrong with the plan (FTC510 to FTC512).
    """
    from ftc.compiler.lock.lockfile import lock_path

    root = scratch / PROJECT
    plan = read_plan(root / listed.plan)
    if (plan.sha256, plan.name, plan.job_sha256()) != (listed.plan_sha256, listed.name, listed.job_sha256):
        raise _damaged("its list is of another plan")
    if not is_plain(plan.recipe_file) or not listed.plan.endswith(".json"):
        raise _damaged(f"its plan or recipe has a name that no package has: {plan.recipe_file!r}")
    recipes, lock = recipe_files(plan, root), lock_path(Path(plan.recipe_file)).as_posix()
    models = {
        f"{one.folder}/{name}": facts
        for one in packed_models(plan)
        for name, facts in one.files.items()
        if name.endswith(_MODEL_SUFFIXES)
    }
    own = {listed.plan, *recipes, lock}
    for name, facts in listed.files.items():
        path = name.removeprefix(PROJECT)
        if name.startswith(PROJECT) and path not in own and models.get(path) != facts:
            raise _damaged(f"its plan names no such file: `{path}`")
    if lost := next((one for one in own if PROJECT + one not in listed.files), None):
        raise _damaged(f"it lacks `{lost}`")
    if (root / lock).read_bytes() != plan.lock.to_text().encode() or recipes[1:] != listed.layers:
        raise _damaged("its lock or its recipes are not those of its plan")
    return plan


def _judged_streams(plan: Plan, listed: Package, scratch: Path) -> tuple[StreamKey, Manifest]:
    """What the token streams are made from, and what is said of them, where both are as the plan has them.

    Raises:
        Refusal: FTC712.
    """
    from ftc.verbs.lent_streams import right_streams

    files = {name.removeprefix(STREAMS): one for name, one in listed.files.items() if name.startswith(STREAMS)}
    try:
        return right_streams(plan, read_regular(scratch / STREAMS_FILE, LARGEST_DOCUMENT), scratch / STREAMS, files)
    except (OSError, ValueError):
        raise _damaged("its token streams are not those of its plan") from None


def _keep_streams(plan: Plan, folder: Path, made_from: StreamKey, manifest: Manifest) -> bool:
    """Puts token streams into ftc's cache, unless it has them; whether it had not.

    Raises:
        Refusal: It has others (FTC712), has no room (FTC663), or takes none (FTC713).
        OSError: The disk refused.
    """
    from ftc.compiler.tokens.stream_manifest import keep_unpacked, kept_manifest, kept_streams

    place = streams_folder(plan.stream_key)
    if kept_streams(plan) is not None and (own := kept_manifest(place, plan.stream_key)) is not None:
        if all(own.splits[one].stream_digest == split.stream_sha256 for one, split in plan.lock.data.splits.items()):
            return False
        raise _damaged("ftc's cache has other token streams that were made of the same rows")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.parent.stat().st_dev != folder.stat().st_dev:  # on one disk they are moved, which takes no room
        needed = sum(facts.size for facts in manifest.files.values())
        _refuse_small(place.parent, needed, "token streams", "free space there, or set `FTC_CACHE` to another disk")
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        for name in manifest.files:
            shutil.move(folder / name, temporary / name)
        keep_unpacked(temporary, made_from, manifest)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if kept_streams(plan) is None:
        raise _not_ours(f"what was unpacked for `{plan.name}` can't be kept in ftc's cache")
    return True


def _put(files: Mapping[str, FileFacts], source: Path, target: Path) -> bool:
    """Moves files to where they belong; those that are there are the same. Whether any was missing."""
    missing = [name for name in files if not (target / name).exists()]
    for name in missing:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, target / name)
    for folder in {(target / name).parent for name in missing}:
        sync_folder(folder)
    return bool(missing)


_AGAIN = "ask whoever packed it for the file and its digest; nothing was unpacked"


def _damaged(why: str) -> Refusal:
    help = "copy the package again, or pack it again; nothing was unpacked"
    return Refusal([diagnostic("FTC712", "the package is damaged, or no package of `ftc pack`", notes=why, help=help)])


def _not_ours(summary: str) -> Refusal:
    help = "unpack the package here, or set `FTC_CACHE_KEY` to a secret that the machines share"
    return Refusal([diagnostic("FTC713", summary, help=help)])
