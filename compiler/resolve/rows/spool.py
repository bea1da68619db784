"""Bytes that are written once and then read in pieces: in memory while they are few, else in a file without a name."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ftc.spec.storage.atomic_write import naming
from ftc.spec.storage.paths import cache_folder

__all__ = ["MOST_IN_MEMORY", "Spool", "forget", "spool_folder"]

MOST_IN_MEMORY = 16 * 2**20
"""Bytes from which they go to disk."""
_PIECE_BYTES = 1 << 20


def spool_folder() -> Path:
    """Where such files lie: ftc's cache, or the system's temporary folder where the cache can't be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return folder if os.access(folder, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


class Spool:
    """Bytes behind one another. The file lies in `spool_folder`, and is gone with the process.

    Args:
        most: Bytes from which they go to disk.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_IN_MEMORY if most is None else most
        self._waiting = bytearray()
        self._file: BinaryIO | None = None

    def add(self, data: bytes) -> None:
        """Puts bytes behind the others."""
        self._waiting += data
        if len(self._waiting) > (self._most if self._file is None else min(self._most, _PIECE_BYTES)):
            self._flush()

    def settle(self) -> None:
        """Writes what waits, if there is a file, so that a forked process doesn't write it again."""
        if self._file is not None and self._waiting:
            self._flush()

    def read(self, begin: int, end: int) -> bytes:
        """The bytes between two places.

        Raises:
            OSError: The disk doesn't have them any more.
        """
        if self._file is None:
            return bytes(self._waiting[begin:end])
        self.settle()
        found = b""
        while len(found) < end - begin:
            if not (more := _read_at(self._file, end - begin - len(found), begin + len(found))):
                raise OSError(f"a file of rows ended at {begin + len(found)}")
            found += more
        return found

    def mapped(self, kind: str) -> NDArray[Any]:
        """All bytes as an array of a kind, of which only the pages that are read are in memory."""
        if self._file is None:
            return np.frombuffer(self._waiting, kind)
        self.settle()
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), kind)

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=spool_folder(), buffering=0)  # noqa: SIM115 - lives as long as self
            finalize(self, self._file.close)
        self._file.seek(0, 2)
        left = memoryview(self._waiting)
        with naming(spool_folder()):  # the file itself has no name
            while left:
                left = left[self._file.write(left) :]
        left.release()
        self._waiting = bytearray()


def forget(*arrays: NDArray[Any] | memoryview) -> None:
    """Gives the pages of mapped arrays back, of whatever was read of them; what is read again comes from the file.

    Without this a process that goes once through a file of many gigabytes seems to hold all of it.
    """
    for array in arrays:
        whole: Any = array
        while isinstance(whole, np.ndarray | memoryview):
            whole = whole.base if isinstance(whole, np.ndarray) else whole.obj
        if isinstance(whole, mmap.mmap) and hasattr(whole, "madvise"):
            whole.madvise(mmap.MADV_DONTNEED)


def _read_at(file: BinaryIO, count: int, begin: int) -> bytes:
    """Bytes from a place. Forked processes share how far the file is read, which this leaves alone."""
    if sys.platform == "win32":
        file.seek(begin)
        return file.read(count)
    return os.pread(file.fileno(), count, begin)
