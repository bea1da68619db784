"""Writing that survives a crash: temporary name, fsync, rename, fsync of the folder.

A reader sees the old content or the new, never half. Leftovers of a crash bear the prefix `.tmp-` and are swept by the
next process that holds the run's lock.

File stamps prove that nobody wrote to a file in between: five figures that together no ordinary write leaves alone.
The change time is the kernel's own: no call sets it, so that tools that restore a modification time don't hide a
write. It is only as fine as the clock that the file system uses, hence the margin: what was changed within it may
change once more and keep its stamp.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = [
    "Stamp",
    "building_folder",
    "building_name",
    "is_settled",
    "naming",
    "replacing",
    "rewrite_file",
    "stamp_of",
    "sweep",
    "sync_folder",
    "try_writing",
    "write_file",
    "write_text",
]

_PREFIX = ".tmp-"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Says in an error of the system which file was to be written: what a write or a flush raises names none.

    Raises:
        OSError: As raised inside, with the file.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file to fill, which takes the place of `path` when the block ends without an exception.

    Raises:
        OSError: The disk refused; the old content is intact.
    """
    if path.is_dir():  # else the rename would fail after all was written, and name the temporary file
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = _beside(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # what a write raises names no file: say which was to be written
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # a name that is too long is none to remove
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


_LONGEST_NAME = 255
"""Bytes of a name that nearly all file systems allow."""


def _beside(path: Path) -> Path:
    """A temporary name in the same folder, which is allowed wherever the file's own is."""
    prefix = f"{_PREFIX}{os.getpid()}-".encode()
    kept = os.fsencode(path.name)[: max(0, _LONGEST_NAME - len(prefix))]
    return path.with_name(os.fsdecode(prefix) + kept.decode(errors="ignore"))


def try_writing(path: Path) -> None:
    """Shows before hours of work that a place takes a file or folder: a file is made beside it, and is gone again.

    Raises:
        OSError: The folder is read-only, the name is too long, or the disk is full.
    """
    with suppress(FileNotFoundError):
        path.lstat()
    temporary = _beside(path)
    try:
        temporary.write_bytes(b"\0")
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Replaces a file's content as one step.

    Raises:
        OSError: The disk refused; the old content is intact.
    """
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file's content as one step, in UTF-8 with the line ends as given.

    Raises:
        OSError: The disk refused; the old content is intact.
    """
    write_file(path, text.encode())


def rewrite_file(path: Path, data: bytes) -> None:
    """Replaces the content of a user's own file as one step; a link stays a link, and who may read it stays the same.

    Raises:
        OSError: The disk refused; the old content is intact.
    """
    target = path.resolve(strict=True)
    mode = target.stat().st_mode
    with replacing(target) as file:
        os.chmod(file.fileno() if os.chmod in os.supports_fd else file.name, mode)
        file.write(data)


def sync_folder(path: Path) -> None:
    """Makes a folder's list of names durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def building_name(path: Path) -> Path:
    """Under which name `building_folder` fills a folder."""
    return path.with_name(f"{_PREFIX}{path.name}")


@contextmanager
def building_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes `path` when the block ends without an exception.

    An older folder of that name goes only after the new one is complete. On an exception nothing is left behind.
    """
    temporary = building_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    try:
        with naming(path):
            yield temporary
            _sync_tree(temporary)
        if path.exists():  # a rename can't replace a folder that has files
            old = path.with_name(f"{_PREFIX}old-{path.name}")
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
            temporary.rename(path)
            sync_folder(path.parent)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sweep(folder: Path) -> None:
    """Removes what a crashed process left half written in a folder."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


_MARGIN_NS = 2_000_000_000  # FAT keeps times to two seconds; network clocks drift about as much


class Stamp(NamedTuple):
    """A file as the file system describes it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file's status."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def is_settled(stamp: Stamp, at_ns: int) -> bool:
    """Whether a stamp that is still the same later proves that nothing was written since `at_ns` (Unix time)."""
    return max(stamp.mtime_ns, stamp.ctime_ns) + _MARGIN_NS < at_ns
