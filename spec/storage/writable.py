"""Places that can't be written to, as findings: which place, what the system says of it, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.paths import cache_folder

__all__ = ["MORE_ROOM", "NO_ROOM", "not_writable", "using_cache", "write_beside"]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What says that a disk, or a user's share of it, is full."""
MORE_ROOM = "free disk space there, or set `FTC_CACHE` to a folder on a larger disk"
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (*_CLOSED, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
_USUAL = "make the folder writable, or copy the project to a writable place"


def not_writable(place: Path | str, error: OSError, help: str = _USUAL) -> Refusal:
    """That a place takes no files (FTC648), or that its disk is full (FTC647)."""
    if error.errno in NO_ROOM:
        summary = f"the disk has no room for `{place}`: {(error.strerror or str(error)).lower()}"
        return Refusal([diagnostic("FTC647", summary, help="free disk space there")])
    summary = f"`{place}` is not writable: {error.strerror or error}"
    return Refusal([diagnostic("FTC648", summary, help=help)])


def write_beside(path: Path, text: str) -> None:
    """Replaces a text file that ftc keeps beside the user's own.

    Raises:
        Refusal: Its folder can't be written to (FTC648).
        OSError: The disk refused for another reason; the old content is intact.
    """
    try:
        write_text(path, text)
    except OSError as error:
        if error.errno in _NO_FOLDER:
            raise not_writable(path, error) from error
        raise


@contextmanager
def using_cache(folder: Path) -> Iterator[None]:
    """For a block that writes to a folder of ftc's cache, which is made at once: before the work, not after it.

    Raises:
        Refusal: The cache can't be written to (FTC648), or its disk is full (FTC647).
    """
    closed: tuple[int, ...] = _NO_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        closed = _CLOSED  # what is gone from here on was there, and somebody else removed it
        yield
    except OSError as error:
        cache, named = cache_folder(), Path(str(error.filename or ""))
        if error.filename is None or not (named.is_relative_to(cache) or cache.is_relative_to(named)):
            raise
        if error.errno in NO_ROOM:
            summary = f"the disk has no room for ftc's cache in `{cache}`: {(error.strerror or str(error)).lower()}"
            raise Refusal([diagnostic("FTC647", summary, help=MORE_ROOM)]) from error
        if error.errno in closed:
            help = "set `FTC_CACHE` to a folder that you can write to; ftc keeps token streams there"
            raise not_writable(cache, error, help) from error
        raise
