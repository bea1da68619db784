"""Several files at an address as one source: a folder `s3://bucket/rows/`, or a pattern `s3://bucket/train-*.parquet`.

The lock pins the names and digests. As long as these bytes can be had, from the cache or from the address, nothing is
listed. Otherwise what lies there now counts, and the lock tells what is another file, a new one or none any more.

What a server lists, and what a lock says, may come from a stranger: a name is never a path on this machine, and one
that leads out of the folder or can't be shown is refused.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.remote import Address, RemoteFile, cached_file, fetch, fetch_file, known_digest
from ftc.compiler.resolve.files.safe_files import fault_in_text
from ftc.compiler.resolve.rows.file_sets import (
    Place,
    divided,
    fault_in_pattern,
    is_hidden,
    is_pattern,
    is_readable,
    refuse_unusable,
    unread,
)
from ftc.compiler.stages import begin_stage
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.language.safe_repr import quoted
from ftc.spec.row_files import suffix_of
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.cached import REMOTE

__all__ = ["RemoteSet", "find_remote"]

_AT_ONCE = 8
_MOST_FOLDERS = 100
"""Folders inside that are looked through for data files that nobody reads: each is a request."""
_NOT_LISTED = "name each file in a list of sources, or give the address of the bucket, s3:// or gs://"


class RemoteSet(NamedTuple):
    """The files that a pattern or a folder at an address stands for.

    Attributes:
        members: Where each lies in the cache, by its address, in order.
        skipped: Addresses of files that lie there too and are no part of it, though somebody may take them for one.
    """

    members: dict[str, Path]
    skipped: tuple[str, ...]


def find_remote(
    cache: Path, address: Address, locked: SourceLock | None, *, any_kind: bool, offline: bool
) -> Path | RemoteSet:
    """What an address stands for, in the cache: one file, or all files of a folder or a pattern.

    Args:
        cache: ftc's cache.
        address: As a recipe has it.
        locked: What the lock pins of this address; None where it pins nothing.
        any_kind: Whether a package reads the files, whatever their suffixes.
        offline: Never connect: what the lock pins, else what was fetched last, must be in the cache.

    Raises:
        Refusal: The address is none that ftc fetches from (FTC346), packages are missing (FTC650), a file can't be had
            (FTC347), or the files can't be used together (FTC398).
    """
    address.check()
    _refuse_unlisted(address, any_kind)
    if locked is not None and not locked.files:
        return fetch_file(cache, address, locked.file.sha256, offline=offline)
    where = _Where.of(cache, address)
    pins = where.own({name: facts.sha256 for name, facts in locked.files.items()}) if locked else None
    if pins and (found := where.of_digests(pins)):
        return found
    if offline:
        last = pins or where.own(where.last()[0])
        if not last:
            return fetch_file(cache, address, None, offline=True)
        if found := where.of_digests(last):
            return found
        why = "a file of it is not in the cache, and ftc is offline"
        raise address.unfetched(address.url, why, "plan once with a network and without `--offline`")
    if pins and (found := where.of_pins(pins)):
        return found
    if not address.can_list or not where.is_set():
        return fetch_file(cache, address, None, offline=False)
    return where.of_list(any_kind)


def _refuse_unlisted(address: Address, any_kind: bool) -> None:
    """Lets pass what can be had: a web server has no lists, and a bucket is one that the recipe names.

    Raises:
        Refusal: FTC398.
    """
    bucket, _, path = address.url.partition("://")[2].partition("/")
    place = _place(address, address.url)
    if address.can_list:
        if is_pattern(bucket):
            raise place.refused(f"`{address.url}` names no bucket", "write the bucket's name without wildcards")
        if is_pattern(path) and (fault := fault_in_pattern(divided(path)[1])):
            raise place.refused(f"the pattern `{address.url}` {fault[0]}", fault[1])
        return
    path = re.split(r"[?#]", path, maxsplit=1)[0]  # in such an address a question mark begins what a server is asked
    is_folder = not path or (path.endswith("/") and not any_kind and not suffix_of(path.rstrip("/")))
    if is_pattern(path) or is_folder:
        what = "pattern" if is_pattern(path) else "folder"
        raise place.refused(f"a web server lists no files, so `{address.url}` can't be a {what}", _NOT_LISTED)


def _place(address: Address, prefix: str) -> Place:
    help_if_empty = "nothing is there: check the names of the bucket and the folder"
    return Place(address.url, prefix, address.span, address.path, help_if_empty)


class _Where(NamedTuple):
    """A folder or a pattern at an address.

    Attributes:
        cache: ftc's cache.
        address: As the recipe has it.
        folder: Address of the folder.
        pattern: Behind it.
    """

    cache: Path
    address: Address
    folder: str
    pattern: str

    @classmethod
    def of(cls, cache: Path, address: Address) -> _Where:
        """An address, divided."""
        folder, pattern = divided(address.url)
        return cls(cache, address, folder.rstrip("/"), pattern)

    def own(self, digests: Mapping[str, str]) -> dict[str, str]:
        """Digests by address as they are; none where one isn't of a file in this folder, as in an edited lock."""
        prefix = f"{self.folder}/"
        are_own = all(name.startswith(prefix) and not fault_in_name(name.removeprefix(prefix)) for name in digests)
        return dict(digests) if are_own else {}

    def of_digests(self, digests: Mapping[str, str]) -> RemoteSet | None:
        """Files that are all in the cache, or None."""
        found: dict[str, Path] = {}
        for url, sha256 in digests.items():
            if (file := cached_file(self.cache, url, sha256)) is None:
                return None
            found[url] = file
        return self._with_skipped(found)

    def of_pins(self, pins: Mapping[str, str]) -> RemoteSet | None:
        """The files with their digests, some of them fetched; None where one is another file or absent by now.

        Raises:
            Refusal: None of them can be had: the network or the rights are missing (FTC347).
        """
        filesystem, base = self._filesystem()
        entries = self._entries(filesystem, base)
        lacking = [url for url, sha256 in pins.items() if cached_file(self.cache, url, sha256) is None]
        if not {url.removeprefix(f"{self.folder}/") for url in lacking} <= entries.keys():
            return None
        wanted = [self._file(base, url.removeprefix(f"{self.folder}/"), entries) for url in lacking]
        if any(self._known(file) not in (None, pins[file.url]) for file in wanted):
            return None
        fetched = self._fetched(filesystem, wanted)
        return self.of_digests(pins) if all(fetched[url][1] == pins[url] for url in lacking) else None

    def is_set(self) -> bool:
        """Whether the address is that of several files: no file has it as its name, wildcards included.

        Raises:
            Refusal: FTC347, FTC650.
        """
        url = self.address.url
        if url.endswith("/"):
            return True
        filesystem, place = self.address.filesystem(url)
        with self.address.reaching(url):
            if is_pattern(url):
                return not filesystem.isfile(place)
            is_folder: bool = filesystem.info(place)["type"] == "directory"
            return is_folder

    def of_list(self, any_kind: bool) -> RemoteSet:
        """The files that lie there now, fetched unless the cache has them.

        Raises:
            Refusal: FTC347, FTC398.
        """
        filesystem, base = self._filesystem()
        place, entries = _place(self.address, f"{self.folder}/"), self._entries(filesystem, base)
        files = {name: entry for name, entry in entries.items() if entry.get("type") == "file"}
        folders = [name for name in entries if name not in files]
        readable = sorted(name for name in files if any_kind or is_readable(name))
        for name in readable:
            if fault := fault_in_name(name):
                summary = f"the name {quoted(name)}, which `{self.address.url}` lists, {fault}"
                raise place.refused(summary, "rename it there, or write a pattern that leaves it out")
        inside = []
        if not is_pattern(self.address.url):
            with self.address.reaching(self.address.url):
                inside = _inside(filesystem, base, folders, any_kind)
        refuse_unusable(place, readable, entries, inside, any_kind)
        left = [*unread(sorted(files), any_kind), *inside]
        skipped = [f"{place.prefix}{name}" for name in left if not fault_in_name(name)]
        fetched = self._fetched(filesystem, [self._file(base, name, files) for name in readable])
        digests = {url: sha256 for url, (_, sha256) in fetched.items()}
        Cache(REMOTE.under(self.cache)).keep(*self._note(), [digests, skipped])
        return RemoteSet({url: path for url, (path, _) in fetched.items()}, tuple(skipped))

    def _filesystem(self) -> tuple[Any, str]:
        """fsspec's, and the folder's name in it."""
        filesystem, base = self.address.filesystem(self.folder)
        return filesystem, base.rstrip("/")

    def _entries(self, filesystem: Any, base: str) -> dict[str, Mapping[str, Any]]:
        """What the folder or pattern has by its name behind the folder's, hidden names left out.

        Raises:
            Refusal: It can't be listed (FTC347).
        """
        with self.address.reaching(self.address.url):
            if not is_pattern(self.address.url):
                return _by_name(_names_in(filesystem, base), base)
            found = _by_name([*filesystem.glob(f"{base}/{self.pattern}", detail=True).values()], base)
            if not found:
                _names_in(filesystem, base)  # a pattern finds nothing where a list is denied; this says so
            return found

    def _file(self, base: str, name: str, entries: Mapping[str, Mapping[str, Any]]) -> RemoteFile:
        return RemoteFile.of(f"{self.folder}/{name}", f"{base}/{name}", entries[name])

    def _known(self, file: RemoteFile) -> str | None:
        """The digest that the file should have by its stamp; None where nobody knows."""
        return known_digest(self.cache, file.url, file.stamp) if file.stamp else None

    def _fetched(self, filesystem: Any, wanted: Sequence[RemoteFile]) -> dict[str, tuple[Path, str]]:
        """Place and digest of each file by its address; the first failure ends all.

        Raises:
            Refusal: FTC347.
        """
        self._refuse_without_room([file for file in wanted if self._known(file) is None])
        begin_stage("fetching")
        over, here = Event(), [copy_context() for _ in wanted]  # a thread has no listener by itself
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            waiting = [
                pool.submit(context.run, fetch, self.cache, self.address, filesystem, file, over.is_set)
                for context, file in zip(here, wanted, strict=True)
            ]
            return {file.url: one.result() for file, one in zip(wanted, waiting, strict=True)}
        finally:
            over.set()
            pool.shutdown(cancel_futures=True)

    def _refuse_without_room(self, wanted: Sequence[RemoteFile]) -> None:
        """Lets pass files that the cache's disk has room for, as far as their sizes are known.

        Raises:
            Refusal: FTC347.
        """
        size = sum(one.size or 0 for one in wanted)
        folder = next(one for one in (self.cache, *self.cache.parents) if one.exists())
        if size > (free := shutil.disk_usage(folder).free):
            why = f"its files have {size / 2**30:,.2f} GiB, and the cache's disk has {free / 2**30:,.2f} GiB left"
            raise self.address.unfetched(self.address.url, why, "free space, or set FTC_CACHE to a folder elsewhere")

    def last(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Digests by address, and the files passed over, when the address was last listed; empty where nobody knows."""
        value = Cache(REMOTE.under(self.cache)).recall(*self._note())
        return (dict(value[0]), tuple(value[1])) if isinstance(value, list) and len(value) == 2 else ({}, ())

    def _with_skipped(self, members: dict[str, Path]) -> RemoteSet:
        digests, skipped = self.last()
        return RemoteSet(members, skipped if digests.keys() == members.keys() else ())

    def _note(self) -> tuple[str, dict[str, str]]:
        """Name and key of what is remembered of the list."""
        url = self.address.url
        return f"{hashlib.sha256(f'list {url}'.encode()).hexdigest()}.json", {"kind": "listed", "url": url}


def fault_in_name(name: str) -> str | None:
    """Why a name behind a folder's address can't be used, in words that complete "the name ..."."""
    return "leads out of its folder" if ".." in name.split("/") else fault_in_text(name)


def _names_in(filesystem: Any, folder: str) -> list[Mapping[str, Any]]:
    """What a folder has; empty for one that isn't there."""
    try:
        found: list[Mapping[str, Any]] = filesystem.ls(folder, detail=True)
    except FileNotFoundError:
        return []
    return found


def _by_name(entries: Sequence[Mapping[str, Any]], base: str) -> dict[str, Mapping[str, Any]]:
    """Entries by their names behind a folder's, without hidden ones and those that stand for the folder itself."""
    named = {str(one["name"]): one for one in entries}
    own = {name.removeprefix(f"{base}/"): one for name, one in named.items() if name.startswith(f"{base}/")}
    return {name: one for name, one in own.items() if name.strip("/") and not name.endswith("/") and not _is_left(name)}


def _is_left(name: str) -> bool:
    """Whether a name is passed over: a hidden one, but not one that leads upwards, which is to be told."""
    return is_hidden(name) and ".." not in name.split("/")


def _inside(filesystem: Any, base: str, folders: Sequence[str], any_kind: bool) -> list[str]:
    """Data files below some folders, of the first hundred of them there."""
    found, waiting = list[str](), sorted(folders)
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            break
        folder = waiting.pop(0)
        entries = _by_name(_names_in(filesystem, f"{base}/{folder}"), base)
        found += [one for one, entry in entries.items() if entry.get("type") == "file"]
        waiting += sorted(one for one, entry in entries.items() if entry.get("type") == "directory")
    return sorted(name for name in found if any_kind or is_readable(name))
