"""`ftc pack`: a saved plan with all that its run needs, as one file for a machine without the rows or the hub.

The package is complete or absent. Each file is compared with the digest in the package's list while it is copied:
models and token streams with the digests that the plan and ftc's cache have of them.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ftc.spec.canonical import file_digest, to_text
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.package import (
    LIST_FILE,
    PROJECT,
    STREAMS,
    STREAMS_FILE,
    Models,
    Package,
    PackedModel,
    PackReport,
    is_plain,
    packed_models,
)
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.atomic_write import replacing
from ftc.spec.storage.outputs import OutputKind, claim_output
from ftc.spec.storage.paths import streams_folder
from ftc.spec.storage.plain_tar import END, chunks, header, padding, size_in_tar
from ftc.spec.storage.reading import LARGEST_DOCUMENT, open_regular, read_regular
from ftc.spec.version import VERSION
from ftc.verbs.plan import read_plan

__all__ = ["pack", "recipe_files", "recipe_of_saved"]

Source = Path | bytes
"""A file here, or the bytes of one."""


def pack(plan: Path | str, file: Path | str, *, models: Models = "all", force: bool = False) -> PackReport:
    """Writes a saved plan, its lock, recipe, token streams and models into one file, for `ftc unpack` elsewhere.

    The package has no data files, but token streams can be decoded into the texts of the rows. Equal inputs give equal
    bytes.

    Args:
        plan: The file of a saved plan.
        file: The package; a name that is free, or an earlier package, which is replaced.
        models: Pack `all` models that the run needs, only the `local` ones, which no hub has, or `none`.
        force: Replace any other regular file at `file`, too.

    Raises:
        Refusal: Something else is at `file` (FTC651, FTC653), the plan is none or was edited (FTC510, FTC511), its
            recipe has changed (FTC512), what it needs is not here or has changed (FTC711), or there is no room
            (FTC663).
        OSError: A file can't be read or written.
    """
    place, saved = Path(file), Path(plan)
    claim_output(place, OutputKind.PACKAGE, force=force)
    found = read_plan(saved)
    contents = _contents(found, saved, models)
    listed, text = contents.listed, contents.listed.to_text().encode()
    sizes = {name: facts.size for name, facts in listed.files.items()}
    size = sum(map(size_in_tar, (len(text), *sizes.values()))) + len(END)
    if (free := shutil.disk_usage(place.absolute().parent).free) < size:
        from ftc.views.numbers import byte_size

        summary = f"the package needs {byte_size(size)} on disk, but only {byte_size(free)} are free"
        raise Refusal([diagnostic("FTC663", summary, help="free space, or leave models out with `--models`")])
    with replacing(place) as target:
        target.write(header(LIST_FILE, len(text)) + text + padding(len(text)))
        for name in listed.order:
            _copy(contents.sources[name], name, listed.files[name], target)
        target.write(END)
    folders = tuple(f"{PROJECT}{one.folder}/" for one in contents.models)
    return PackReport(
        file=str(place),
        sha256=listed.digest(),
        name=listed.name,
        plan_sha256=listed.plan_sha256,
        job_sha256=listed.job_sha256,
        files=len(sizes) + 1,
        size=size,
        stream_bytes=sum(one for name, one in sizes.items() if name.startswith(STREAMS)),
        model_bytes=sum(one for name, one in sizes.items() if name.startswith(folders)) if folders else 0,
        left_out=tuple(one.name for one in packed_models(found) if one not in contents.models),
    )


@dataclass(frozen=True, slots=True)
class _Contents:
    """What goes into a package.

    Attributes:
        listed: The list.
        sources: Each file by its name in the package.
        models: Those that are packed.
    """

    listed: Package
    sources: Mapping[str, Source]
    models: tuple[PackedModel, ...]


def _contents(plan: Plan, file: Path, models: Models) -> _Contents:
    """What the package of a plan consists of.

    Raises:
        Refusal: FTC512 or FTC711.
    """
    from ftc.compiler.audit.locate import companion_folders, model_folder
    from ftc.compiler.lock.lockfile import lock_path
    from ftc.compiler.resolve.files.safe_files import project_root

    root = project_root(file)
    recipes, place = recipe_files(plan, root), file.resolve().relative_to(root).as_posix()
    place = place if is_plain(place) and place.endswith(".json") else f"{plan.name}.plan.json"
    sources: dict[str, Source] = {
        PROJECT + lock_path(Path(plan.recipe_file)).as_posix(): plan.lock.to_text().encode(),
        **{PROJECT + path: root / path for path in recipes},
        **_streams(plan),
        PROJECT + place: read_regular(file, LARGEST_DOCUMENT),
    }
    files = {name: _facts(source) for name, source in sources.items()}
    wanted = tuple(one for one in packed_models(plan) if models == "all" or (models == "local" and one.commit is None))
    folders = {
        "base": model_folder(plan, root),
        **{str(role): one for role, one in companion_folders(plan, root).items()},
    }
    for model in wanted:
        if (folder := folders.get(model.role)) is None:
            help = "put it where the recipe names it, or leave models out with `--models none`"
            raise _refused(f"the {model.words} is not on this machine", help)
        for name, facts in model.files.items():
            sources[f"{PROJECT}{model.folder}/{name}"] = folder / name
            files[f"{PROJECT}{model.folder}/{name}"] = facts
    listed = Package(
        ftc_version=VERSION,
        name=plan.name,
        plan=place,
        plan_sha256=plan.sha256,
        job_sha256=plan.job_sha256(),
        layers=recipes[1:],
        models=models,
        files=files,
    )
    return _Contents(listed, sources, wanted)


def recipe_of_saved(plan: Plan, root: Path) -> Path:
    """The recipe's file of a saved plan.

    Args:
        plan: The plan.
        root: The project in which the saved plan lies.

    Raises:
        Refusal: It is not there (FTC512).
    """
    file = root / plan.recipe_file
    if file.is_file():
        return file
    note = f"looked for `{plan.recipe_file}` in {root}, where the plan lies"
    help = (
        f"keep a plan in its recipe's project: move it there, or plan again with `ftc plan {plan.recipe_file} -o FILE`"
    )
    raise Refusal([diagnostic("FTC512", "the plan's recipe is not here", notes=note, help=help)])


def recipe_files(plan: Plan, root: Path) -> tuple[str, ...]:
    """The recipe's file and those that it extends, relative to the project.

    Raises:
        Refusal: The recipe is another one by now, or not here (FTC512), or lies in a hidden folder (FTC711).
    """
    from ftc.compiler.resolve.files.safe_files import read_recipe
    from ftc.compiler.rules.check import check_recipe

    help = f"plan again with `ftc plan {plan.recipe_file} -o FILE` and have it reviewed"
    file = recipe_of_saved(plan, root)
    checked = check_recipe(read_recipe(file), str(file), path=file, overrides=plan.overrides)
    if checked.recipe is None or checked.recipe.to_json() != plan.recipe.to_json():
        note = f"`{plan.recipe_file}` has changed since it was planned"
        raise Refusal([diagnostic("FTC512", "the plan is stale", notes=note, help=help)])
    layers = {Path(name).resolve() for name in checked.sources} - {file.resolve()}
    found = (plan.recipe_file, *sorted(one.relative_to(root).as_posix() for one in layers if one.is_file()))
    if hidden := [path for path in found if not is_plain(path)]:
        raise _refused(f"`{hidden[0]}` can't be packed", "keep recipes in a folder that is not hidden, then plan again")
    return found


def _streams(plan: Plan) -> dict[str, Source]:
    """The token streams, and what they are made from.

    Raises:
        Refusal: FTC711.
    """
    from ftc.compiler.tokens.stream_manifest import kept_manifest, kept_streams, made_from_of

    folder = streams_folder(plan.stream_key)
    made_from, manifest = made_from_of(folder, plan.stream_key), kept_manifest(folder, plan.stream_key)
    if kept_streams(plan) is None or made_from is None or manifest is None:
        help = f"`ftc plan {plan.recipe_file}` makes them again"
        raise _refused("the plan's token streams are not in ftc's cache, or have changed there", help)
    text = to_text({"made_from": made_from, "manifest": manifest.to_json()}).encode()
    return {STREAMS_FILE: text, **{STREAMS + name: folder / name for name in manifest.files}}


def _facts(source: Source) -> FileFacts:
    if isinstance(source, bytes):
        return FileFacts(size=len(source), sha256=hashlib.sha256(source).hexdigest())
    return FileFacts(size=source.stat().st_size, sha256=file_digest(source))


def _copy(source: Source, name: str, facts: FileFacts, target: BinaryIO) -> None:
    """Appends a file to the package.

    Raises:
        Refusal: It isn't the one that is listed (FTC711).
    """
    target.write(header(name, facts.size))
    found, count = hashlib.sha256(), 0
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as opened:
            for data in chunks(opened, facts.size + 1):
                target.write(data)
                found.update(data)
                count += len(data)
    except FileNotFoundError:
        pass  # it has no bytes, and so another digest
    if (count, found.hexdigest()) != (facts.size, facts.sha256):
        what = name.removeprefix(PROJECT)
        raise _refused(f"`{what}` is not the file that the plan names", "restore it, or plan again")
    target.write(padding(facts.size))


def _refused(summary: str, help: str) -> Refusal:
    return Refusal([diagnostic("FTC711", summary, help=help)])
