"""Data files at an address, `s3://`, `gs://` or `https://`, fetched once by fsspec (extra `remote`) and kept by digest.

The lock pins a file's digest. As long as the cache has those bytes nothing is fetched, whatever lies at the address by
now. A recipe may come from a stranger, so only these schemes are taken, and none of fsspec's chains or local ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.storage.cache import Cache, distrust
from ftc.spec.storage.cached import DIGESTS, REMOTE

__all__ = ["cached_file", "fetch_file", "has_scheme"]

_SCHEMES = ("s3", "gs", "https")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s:@/]+(?::\d+)?)/(\S+)", re.IGNORECASE)
_LOOPBACK = re.compile(r"http://(?:localhost|127\.0\.0\.1)(?::\d+)?/", re.IGNORECASE)
_DATABASES = ("sqlite", "postgres", "postgresql", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake")
_MOST_BYTES = 64 * 2**30
_CHUNK_BYTES = 1 << 20


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


def fetch_file(cache: Path, url: str, pinned: str | None, span: Span | None, path: str, *, offline: bool) -> Path:
    """A file at an address, in the cache.

    Args:
        cache: ftc's cache.
        url: The address.
        pinned: The digest that the lock keeps; None where it has none for this address.
        span: Place of the address in the recipe.
        path: Dotted path of that value.
        offline: Never connect: the digest that the lock keeps, else what was fetched last, must be in the cache.

    Raises:
        Refusal: The address is none that ftc fetches from (FTC346), packages are missing (FTC650), or the file can't be
            had (FTC347).
    """
    _check_address(url, span, path)
    notes, key = Cache(REMOTE.under(cache)), {"kind": "fetched", "url": url}
    note = f"{hashlib.sha256(url.encode()).hexdigest()}.json"
    if pinned and (file := cached_file(cache, url, pinned)):
        return file
    if offline:
        last = pinned or notes.recall(note, key)
        if last and (file := cached_file(cache, url, last)):
            return file
        help = "plan once with a network and without `--offline`"
        raise _unfetched(url, "it is not in the cache, and ftc is offline", help, span, path)
    sha256 = _download(cache, url, span, path)
    notes.keep(note, key, sha256)
    return REMOTE.under(cache) / sha256 / _name(url)


def _name(url: str) -> str:
    """The last part of an address: what tells the kind of the file."""
    last = re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]", "_", last)[-100:] or "data"


def _check_address(url: str, span: Span | None, path: str) -> None:
    match = _ADDRESS.fullmatch(url)
    is_allowed = match is not None and (match[1].lower() in _SCHEMES or _LOOPBACK.match(url) is not None)
    if not is_allowed or "::" in url:
        help = "write an address that begins with s3://, gs:// or https://, without a password, or name a file"
        if re.split(r"[+:]", url.lower(), maxsplit=1)[0] in _DATABASES:
            help = "ftc reads no databases: their rows can't be pinned. Export the query's result as CSV or Parquet"
        raise Refusal([diagnostic("FTC346", "an address that ftc doesn't fetch from", span, help=help, path=path)])


def _download(cache: Path, url: str, span: Span | None, path: str) -> str:
    """Fetches a file into the cache and tells its digest."""
    filesystem = _filesystem(url, span, path)
    state, size = hashlib.sha256(), 0
    folder = REMOTE.under(cache)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    try:
        try:
            with os.fdopen(handle, "wb") as out, filesystem.open(url, "rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > _MOST_BYTES:
                        raise ValueError(f"it is larger than {_MOST_BYTES / 2**30:g} GiB")
                    state.update(chunk)
                    out.write(chunk)
        except Exception as error:  # noqa: BLE001  each filesystem has errors of its own
            why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            help = "check the address, the network and your rights; credentials are those of the system's own tools"
            raise _unfetched(url, f"{type(error).__name__}: {why}", help, span, path) from None
        place = folder / state.hexdigest() / _name(url)
        place.parent.mkdir(exist_ok=True)
        os.replace(temporary, place)
        return state.hexdigest()
    finally:
        Path(temporary).unlink(missing_ok=True)


def _filesystem(url: str, span: Span | None, path: str) -> Any:
    try:
        import fsspec

        return fsspec.url_to_fs(url)[0]
    except ImportError as error:
        help = "`pip install 'ftc[remote]'` brings what fetches from there; or download the file and name it"
        summary = f"fetching from {url.partition('://')[0]}:// needs more packages"
        raise Refusal([diagnostic("FTC650", summary, span, help=help, notes=str(error)[:200], path=path)]) from None


def _unfetched(url: str, why: str, help: str, span: Span | None, path: str) -> Refusal:
    shown = url if len(url) <= 100 else f"{url[:99]}…"
    return Refusal([diagnostic("FTC347", f"`{shown}` can't be fetched", span, notes=why, help=help, path=path)])
