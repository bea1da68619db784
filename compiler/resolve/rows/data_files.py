"""Finds the data files that a recipe names, on disk or on the hub, and digests them. Reads no row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.hub_cache import HubFile
from ftc.compiler.resolve.files.hub_errors import of_locked
from ftc.compiler.resolve.files.hub_features import described_classes, names_by_card
from ftc.compiler.resolve.files.hub_splits import SplitAsked
from ftc.compiler.resolve.files.remote import Address, has_scheme
from ftc.compiler.resolve.files.safe_files import UnsafePath, other_form, refuse_odd_file, safe_path, why_unreadable
from ftc.compiler.resolve.rows.file_sets import FileSet, files_of, is_pattern, joint_facts, passed_over
from ftc.compiler.resolve.rows.large_files import refuse_too_large
from ftc.compiler.resolve.rows.reading import USUAL_READING, Reading, SpanOf, absent_file
from ftc.compiler.resolve.rows.remote_sets import RemoteSet, find_remote
from ftc.compiler.resolve.rows.source_paths import idle_keys, source_paths
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import Lock, SourceLock
from ftc.spec.sections.augment import Paraphrases
from ftc.spec.sections.data import READING_KEYS, Data, HubSource, PathSource
from ftc.spec.storage.cached import REMOTE
from ftc.spec.storage.paths import cache_folder

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Table

__all__ = ["DataFile", "DataFiles", "locate_data"]

ClassNames = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file, found.

    Attributes:
        path: Where it lies on this machine.
        shown_as: Its name for people.
        recipe_path: Dotted path of the source in the recipe.
        asked: The source as the recipe has it, for the lock.
        commit: Commit of a hub data set.
        chosen: The file in it, where the recipe names none.
        facts: Size and digest; of several files their sum, and a digest over theirs.
        reading: What the recipe says of how it is read.
        members: The files of a folder or a pattern by name, with where they lie; empty for a single file.
        member_facts: Size and digest of each of these.
        warnings: What looks wrong about the file itself.
        skipped: Files that lie with these and aren't read, by name; None in place of a path at an address, since they
            aren't fetched.
        root: How far paths in its rows may lead; None for as far as its own folder.
        class_names: Names of the classes that columns hold as numbers, where the data set's card gives them; the lock's
            own where it pins the commit. None where nobody knows, since the hub's cache lacks the card.
    """

    path: Path
    shown_as: str
    recipe_path: str
    asked: dict[str, Any]
    commit: str | None
    chosen: str | None
    facts: FileFacts
    reading: Reading = USUAL_READING
    members: Mapping[str, Path] = field(default_factory=dict)
    member_facts: Mapping[str, FileFacts] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    skipped: Mapping[str, Path | None] = field(default_factory=dict)
    root: Path | None = None
    class_names: ClassNames | None = field(default_factory=dict)

    def read(self, span: Span | None, images: tuple[str, ...] = ()) -> Table:
        """All rows; of several files those of one behind the other.

        Args:
            span: Place of the file's name in the recipe.
            images: Columns whose bytes are images.

        Raises:
            Refusal: A file can't be read (FTC350 to FTC360, FTC397, FTC650).
        """
        from ftc.compiler.resolve.rows.table import JoinedTable  # where rows are in the cache, none is read
        from ftc.compiler.resolve.rows.tables import read_rows

        reading = replace(self.reading, images=images)
        if not self.members:
            return self._home(read_rows(self.path, self.shown_as, span, reading), self.path)
        tables: list[Table] = []
        found: list[Diagnostic] = []
        for name, path in self.members.items():
            try:
                tables.append(self._home(read_rows(path, name, span, reading), path))
            except Refusal as refusal:
                found += refusal.diagnostics
        if found:
            raise Refusal(found)
        return JoinedTable.of([(table, table.rows) for table in tables], self.shown_as)

    def _home(self, table: Table, path: Path) -> Table:
        from ftc.compiler.resolve.rows.table import Home

        return replace(table, home=Home(path.parent, self.root or path.parent))


DataFiles = Mapping[str, DataFile]
"""Files by use: `rows` for the main source, `rows[0]` and so on for several, `validation` and `test` for files of their
own."""


def locate_data(
    data: Data,
    *,
    probes: Mapping[str, tuple[str, PathSource]] | None = None,
    folder: Path,
    root: Path,
    hub: Hub,
    digests: DigestCache,
    span_of: SpanOf,
    lock: Lock | None,
) -> DataFiles:
    """Finds and digests every data file, and those of `probes`, by use with their dotted path.

    A hub source stays at the commit that the lock keeps for it, and what was fetched from an address at the digests.

    Raises:
        Refusal: A path is unsafe (FTC300), a file is absent (FTC350) or can't be had from the hub or an address, or a
            key has no effect on the files of a folder (FTC486); all of these together.
    """
    files: dict[str, DataFile] = {}
    found: list[Diagnostic] = []
    for use, (recipe_path, source) in {**source_paths(data), **(probes or {})}.items():
        try:
            locked = lock.data.sources.get(use) if lock else None
            if not isinstance(source, HubSource) and has_scheme(source.path):
                files[use] = _at_address(source, recipe_path, digests, span_of, locked, offline=hub.is_offline)
            elif not isinstance(source, HubSource):
                files[use] = _on_disk(source, recipe_path, folder, root, digests, span_of)
            else:
                locked = locked if locked and locked.asked == source.to_json() else None
                files[use] = _on_hub(source, recipe_path, hub, digests, span_of, locked)
        except Refusal as refusal:
            found += refusal.diagnostics
    if found:
        raise Refusal(found)
    return _with_skipped(files, span_of)


def _with_skipped(files: DataFiles, span_of: SpanOf) -> DataFiles:
    """The files with a warning where some that lie beside theirs are not read for any use."""
    read = {os.path.realpath(path) for file in files.values() for path in (file.path, *file.members.values())}
    fetched = {name for file in files.values() for name in (file.shown_as, *file.members)}
    after: dict[str, DataFile] = {}
    for use, file in files.items():
        left = [
            name
            for name, path in file.skipped.items()
            if (name not in fetched if path is None else os.path.realpath(path) not in read)
        ]
        path = f"{file.recipe_path}.path"
        found = passed_over(file.shown_as, file.members, left, span_of(path), path)
        after[use] = replace(file, warnings=(*file.warnings, found)) if found else file
    return after


def _at_address(
    source: PathSource | Paraphrases,
    recipe_path: str,
    digests: DigestCache,
    span_of: SpanOf,
    locked: SourceLock | None,
    *,
    offline: bool,
) -> DataFile:
    asked, path = _asked(source), f"{recipe_path}.path"
    span, any_kind = span_of(path), isinstance(source, PathSource) and source.reader is not None
    locked = locked if locked and locked.asked == asked else None
    address = Address(source.path, span, path)
    found = find_remote(cache_folder(), address, locked, any_kind=any_kind, offline=offline)
    members, skipped = found if isinstance(found, RemoteSet) else ({}, ())
    first = next(iter(members), "")  # they are all of one kind
    if isinstance(source, PathSource) and (idle := [*idle_keys(source, first, recipe_path, span_of)]):
        raise Refusal(idle)
    for name, file in members.items():
        refuse_too_large(file, name, span)
    hashed = digests.files(members.values() if isinstance(found, RemoteSet) else [found])
    listed = {name: hashed[member] for name, member in members.items()}
    return DataFile(
        path=REMOTE.under(cache_folder()) if isinstance(found, RemoteSet) else found,
        shown_as=source.path,
        recipe_path=recipe_path,
        asked=asked,
        commit=None,
        chosen=None,
        facts=joint_facts(listed) if isinstance(found, RemoteSet) else hashed[found],
        reading=Reading.of(source.to_json()),
        members=members,
        member_facts=listed,
        skipped=dict.fromkeys(skipped),
    )


def _on_disk(
    source: PathSource | Paraphrases, recipe_path: str, folder: Path, root: Path, digests: DigestCache, span_of: SpanOf
) -> DataFile:
    span = span_of(f"{recipe_path}.path")
    any_kind = isinstance(source, PathSource) and source.reader is not None
    try:
        is_set = is_pattern(source.path) and not os.path.exists(folder / source.path)  # noqa: PTH110 - `Path` raises
        path = folder if is_set else safe_path(root, source.path, folder)
        is_set = is_set or path.is_dir()
        here = (root, source.path, folder, span, f"{recipe_path}.path")
        members, skipped = files_of(*here, any_kind) if is_set else FileSet({}, {})
    except UnsafePath as error:
        raise Refusal([error.diagnostic(span, f"{recipe_path}.path")]) from error
    first = next(iter(members), "")  # they are all of one kind
    if isinstance(source, PathSource) and (idle := [*idle_keys(source, first, recipe_path, span_of)]):
        raise Refusal(idle)
    if not is_set:
        refuse_odd_file(folder / source.path, source.path, span, f"{recipe_path}.path")
        refuse_odd_file(path, source.path, span, f"{recipe_path}.path")
    if not is_set and not path.is_file():
        raise Refusal([absent_file(path, source.path, span)])
    for name, file in members.items() if is_set else [(source.path, path)]:
        refuse_too_large(file, name, span)
    try:
        hashed = digests.files(members.values() if is_set else [path])
    except OSError as error:
        reason, help = why_unreadable(error)
        summary = f"{source.path} can't be read: {reason}"
        raise Refusal([diagnostic("FTC351", summary, span, help=help, path=f"{recipe_path}.path")]) from error
    odd = None if is_set else other_form(source.path, path, span, f"{recipe_path}.path")
    listed = {name: hashed[member] for name, member in members.items()}
    return DataFile(
        path=path,
        shown_as=source.path,
        recipe_path=recipe_path,
        asked=_asked(source),
        commit=None,
        chosen=None,
        facts=joint_facts(listed) if is_set else hashed[path],
        reading=Reading.of(source.to_json()),
        members=members,
        member_facts=listed,
        warnings=(odd,) if odd else (),
        skipped=skipped,
        root=root,
    )


def _asked(source: PathSource | Paraphrases) -> dict[str, Any]:
    """A source as the lock keeps it: without keys of reading that it doesn't have."""
    return {key: value for key, value in source.to_json().items() if value is not None or key not in READING_KEYS}


def _on_hub(
    source: HubSource, recipe_path: str, hub: Hub, digests: DigestCache, span_of: SpanOf, locked: SourceLock | None
) -> DataFile:
    if source.split is not None:
        return _split_on_hub(source, source.split, recipe_path, hub, digests, span_of, locked)
    commit, names = _pinned(locked)
    name = source.file or (locked.chosen if locked and commit else None)
    asked = None if name is None else [name]

    def span_here(path: str) -> Any:
        return span_of(path.replace("data.source", recipe_path, 1))

    try:
        found = hub.dataset_files(source.hub, commit or source.revision, asked, digests, span_here, commit is None)
    except Refusal as refusal:
        raise Refusal([of_locked(one, commit) for one in refusal.diagnostics]) from None
    (file,) = found
    chosen = None if source.file else file.name
    shown_as = f"{source.hub}: {file.name}"
    at = f"{recipe_path}.hub"
    named, odd = _class_names(found, source, at, span_of(at)) if commit is None else (names, ())
    return DataFile(
        file.path,
        shown_as,
        recipe_path,
        source.to_json(),
        file.commit,
        chosen,
        file.facts,
        warnings=odd,
        class_names=named,
    )


def _pinned(locked: SourceLock | None) -> tuple[str | None, ClassNames | None]:
    """The commit that the lock keeps, and the names of classes there; a lock that pins no names says there are none, or
    that nobody knew.
    """
    return (None, None) if locked is None or locked.commit is None else (locked.commit, locked.class_names)


def _class_names(
    found: Sequence[HubFile], source: HubSource, path: str, span: Span | None
) -> tuple[ClassNames | None, tuple[Diagnostic, ...]]:
    """The names by the data set's description, for files that don't name their classes themselves, and a warning where
    that can't be read; None where it isn't here.
    """
    if not names_by_card(one.name for one in found):
        return {}, ()
    if any(one.lacks_card for one in found):
        return None, ()
    names, unreadable = described_classes(found[0].path, found[0].name, source.config)
    if not unreadable:
        return names, ()
    summary = f"{unreadable} of `{source.hub}` can't be read, so it names no classes"
    help = (
        "check the labels in the plan; where they are numbers of classes, download the file, write the names into it,"
    )
    help += " and name it as `source: {path: …}`"
    return names, (diagnostic("FTC490", summary, span, help=help, path=path),)


def _split_on_hub(
    source: HubSource,
    split: str,
    recipe_path: str,
    hub: Hub,
    digests: DigestCache,
    span_of: SpanOf,
    locked: SourceLock | None,
) -> DataFile:
    """All files of a split; the lock's own where it pins the commit, so that no later description of the data set
    counts.
    """
    commit, names = _pinned(locked)
    pinned = [*locked.files] if locked and commit else []

    def span_here(path: str) -> Any:
        return span_of(path.replace("data.source", recipe_path, 1))

    try:
        asked = pinned or SplitAsked(source.config, split)
        found = hub.dataset_files(source.hub, commit or source.revision, asked, digests, span_here, commit is None)
    except Refusal as refusal:
        raise Refusal([of_locked(one, commit) for one in refusal.diagnostics]) from None
    listed = {one.name: one.facts for one in found}
    at = f"{recipe_path}.hub"
    named, odd = _class_names(found, source, at, span_of(at)) if commit is None else (names, ())
    return DataFile(
        path=found[0].path.parent,
        shown_as=f"{source.hub}: {split}" if source.config is None else f"{source.hub}: {source.config}, {split}",
        recipe_path=recipe_path,
        asked=source.to_json(),
        commit=found[0].commit,
        chosen=None,
        facts=joint_facts(listed),
        members={one.name: one.path for one in found},
        member_facts=listed,
        warnings=odd,
        class_names=named,
    )
