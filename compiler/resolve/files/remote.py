"""Data files at an address, `s3://`, `gs://` or `https://`, fetched once by fsspec (extra `remote`) and kept by digest.

The lock pins a file's digest. As long as the cache has those bytes nothing is fetched, whatever lies at the address by
now. A recipe may come from a stranger, so only these schemes are taken, and none of fsspec's chains or local ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.stages import begin_stage, read_listener
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.row_files import suffix_of
from ftc.spec.storage.cache import Cache, distrust
from ftc.spec.storage.cached import DIGESTS, REMOTE

__all__ = ["Address", "RemoteFile", "cached_file", "fetch", "fetch_file", "has_scheme", "known_digest"]

_SCHEMES = ("s3", "gs", "https")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s:@/]+(?::\d+)?)/(\S*)", re.IGNORECASE)
_LOOPBACK = re.compile(r"http://(?:localhost|127\.0\.0\.1)(?::\d+)?/", re.IGNORECASE)
_DATABASES = ("sqlite", "postgres", "postgresql", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake")
_MOST_BYTES = 64 * 2**30
_CHUNK_BYTES = 1 << 20
_MOST_NAME_BYTES = 100
_STAMPS = ("ETag", "etag", "generation", "md5Hash", "VersionId", "LastModified", "updated", "mtime", "created")
"""What services say of a file that another content changes."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address in a recipe.

    Attributes:
        url: As the recipe has it.
        span: Its place.
        path: Dotted path of that value.
    """

    url: str
    span: Span | None
    path: str

    @property
    def can_list(self) -> bool:
        """Whether what lies there can be listed: a bucket can, a web server can't."""
        return not _is_of_web(self.url)

    def check(self) -> None:
        """Lets pass an address that ftc fetches from.

        Raises:
            Refusal: FTC346.
        """
        match = _ADDRESS.fullmatch(self.url)
        is_allowed = match is not None and (match[1].lower() in _SCHEMES or _LOOPBACK.match(self.url) is not None)
        if not is_allowed or "::" in self.url:
            help = "write an address that begins with s3://, gs:// or https://, without a password, or name a file"
            if re.split(r"[+:]", self.url.lower(), maxsplit=1)[0] in _DATABASES:
                help = "ftc reads no databases: their rows can't be pinned. Export the query's result as CSV or Parquet"
            summary = "an address that ftc doesn't fetch from"
            raise Refusal([diagnostic("FTC346", summary, self.span, help=help, path=self.path)])

    def filesystem(self, url: str) -> tuple[Any, str]:
        """fsspec's filesystem, with no memory of earlier lists, and the name of an address in it.

        Raises:
            Refusal: Packages are missing (FTC650), or the filesystem can't begin (FTC347).
        """
        with self.reaching(url):
            try:
                import fsspec

                filesystem, place = fsspec.url_to_fs(url)
            except ImportError as error:
                help = "`pip install 'ftc[remote]'` brings what fetches from there; or download the file and name it"
                summary, notes = f"fetching from {url.partition('://')[0]}:// needs more packages", str(error)[:200]
                raise Refusal(
                    [diagnostic("FTC650", summary, self.span, help=help, notes=notes, path=self.path)]
                ) from None
            filesystem.invalidate_cache()
            return filesystem, str(place)

    @contextmanager
    def reaching(self, url: str) -> Iterator[None]:
        """Whatever a filesystem raises becomes a finding about an address (FTC347)."""
        try:
            yield
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001  each filesystem has errors of its own
            why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            help = "check the address, the network and your rights; credentials are those of the system's own tools"
            raise self.unfetched(url, f"{type(error).__name__}: {why}", help) from None

    def unfetched(self, url: str, why: str, help: str) -> Refusal:
        """What is said of a file that can't be had."""
        shown = url if len(url) <= 100 else f"{url[:99]}…"
        summary = f"`{shown}` can't be fetched"
        return Refusal([diagnostic("FTC347", summary, self.span, notes=why, help=help, path=self.path)])


class RemoteFile(NamedTuple):
    """A file as its filesystem lists it.

    Attributes:
        url: Its address.
        place: Its name in the filesystem.
        size: In bytes; None where nobody says.
        stamp: What another content changes; None where the filesystem says nothing of the kind.
    """

    url: str
    place: str
    size: int | None = None
    stamp: str | None = None

    @classmethod
    def of(cls, url: str, place: str, entry: Mapping[str, Any]) -> RemoteFile:
        """As an entry of fsspec has it."""
        size = entry.get("size")
        said = {key: str(entry[key]) for key in _STAMPS if entry.get(key) is not None}
        stamp = hashlib.sha256(repr([size, sorted(said.items())]).encode()).hexdigest() if said else None
        return cls(url, place, size if isinstance(size, int) else None, stamp)


def has_scheme(path: str) -> bool:
    """Whether a path of a recipe is an address."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def cached_file(cache: Path, url: str, sha256: str) -> Path | None:
    """The file that was fetched from an address with this digest, or None where the cache has it no longer, or another
    one under its name.
    """
    file = REMOTE.under(cache) / sha256 / _name(url)
    if not file.is_file():
        return None
    if DigestCache(DIGESTS.under(cache)).file(file).sha256 != sha256:
        distrust(file, "it has other bytes than when it was fetched")
        return None
    return file


def fetch_file(cache: Path, address: Address, pinned: str | None, *, offline: bool) -> Path:
    """A file at an address, in the cache.

    Args:
        cache: ftc's cache.
        address: Where it is.
        pinned: The digest that the lock keeps; None where it has none for this address.
        offline: Never connect: the digest that the lock keeps, else what was fetched last, must be in the cache.

    Raises:
        Refusal: Packages are missing (FTC650), or the file can't be had (FTC347).
    """
    url = address.url
    if pinned and (file := cached_file(cache, url, pinned)):
        return file
    if offline:
        last = pinned or known_digest(cache, url)
        if last and (file := cached_file(cache, url, last)):
            return file
        help = "plan once with a network and without `--offline`"
        raise address.unfetched(url, "it is not in the cache, and ftc is offline", help)
    filesystem, place = address.filesystem(url)
    wanted = _lookup(address, filesystem, place) if address.can_list else RemoteFile(url, url)
    begin_stage("fetching")
    return fetch(cache, address, filesystem, wanted)[0]


def _lookup(address: Address, filesystem: Any, place: str) -> RemoteFile:
    with address.reaching(address.url):
        return RemoteFile.of(address.url, place, filesystem.info(place))


def known_digest(cache: Path, url: str, stamp: str | None = None) -> str | None:
    """The digest of what was last fetched from an address; with a stamp only if the address still had that one."""
    value = Cache(REMOTE.under(cache)).recall(_note(url), _key(url))
    if not isinstance(value, list) or len(value) != 2 or (stamp is not None and value[1] != stamp):
        return None
    return str(value[0])


def fetch(
    cache: Path, address: Address, filesystem: Any, file: RemoteFile, is_over: Callable[[], bool] = lambda: False
) -> tuple[Path, str]:
    """A file in the cache and its digest, fetched unless its stamp is that of the bytes in the cache.

    Args:
        cache: ftc's cache.
        address: As the recipe has it, for what is said of failures.
        filesystem: fsspec's.
        file: What to fetch.
        is_over: Whether nobody waits for the file any longer.

    Raises:
        Refusal: FTC347.
    """
    known = known_digest(cache, file.url, file.stamp) if file.stamp else None
    if known and (here := cached_file(cache, file.url, known)):
        return here, known
    sha256 = _download(cache, address, filesystem, file, is_over)
    Cache(REMOTE.under(cache)).keep(_note(file.url), _key(file.url), [sha256, file.stamp])
    return REMOTE.under(cache) / sha256 / _name(file.url), sha256


def _note(url: str) -> str:
    return f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def _key(url: str) -> dict[str, str]:
    return {"kind": "fetched", "url": url}


def _is_of_web(url: str) -> bool:
    return url.lower().startswith(("http:", "https:"))


def _name(url: str) -> str:
    """The last part of an address: what tells the kind of the file."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    is_part_of_name = not _is_of_web(url) and not suffix_of(plain)  # in a bucket, names may have these characters
    last = (url if is_part_of_name else plain).rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^\w.-]", "_", last).encode()[-_MOST_NAME_BYTES:].decode("utf-8", "ignore")
    return name if name.strip(".") else "data"


def _download(cache: Path, address: Address, filesystem: Any, file: RemoteFile, is_over: Callable[[], bool]) -> str:
    """Fetches a file into the cache and tells its digest."""
    state, size, listener = hashlib.sha256(), 0, read_listener()
    folder = REMOTE.under(cache)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    try:
        with address.reaching(file.url), os.fdopen(handle, "wb") as out, filesystem.open(file.place, "rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if is_over():
                    raise InterruptedError("another file can't be fetched")
                if size > _MOST_BYTES:
                    raise ValueError(f"it is larger than {_MOST_BYTES / 2**30:g} GiB")
                state.update(chunk)
                out.write(chunk)
                if listener is not None:
                    listener()
        place = folder / state.hexdigest() / _name(file.url)
        place.parent.mkdir(exist_ok=True)
        os.replace(temporary, place)
        return state.hexdigest()
    finally:
        Path(temporary).unlink(missing_ok=True)
