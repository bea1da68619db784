"""sha256 of files, remembered between calls under a rule that a restored time stamp can't fool.

A remembered digest is trusted only if size, modification time, change time, inode and device are all what they were,
and both times are older than the moment the file was read by a margin. `touch -r` and archive tools restore the
modification time, never the change time. The margin covers coarse clocks: a file that was written in the same tick
as it was read could be written once more without any stamp changing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ftc.spec.facts import FileFacts

__all__ = ["DigestCache"]

_MARGIN_NS = 2_000_000_000  # FAT keeps times to two seconds; network clocks drift about as much
_MAX_WORKERS = 8

_Stamp = list[int]  # size, mtime_ns, ctime_ns, inode, device


class DigestCache:
    """Digests of files by content, with one small file per hashed path in `folder`.

    Processes may share the folder: entries are replaced whole, and one that can't be read counts as absent. A folder
    that can't be written makes every call hash, and fails nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, path: Path) -> FileFacts:
        """Size and sha256 of one file, following links.

        Raises:
            OSError: The file can't be read.
        """
        path = path.resolve()
        entry = self._folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"
        return _remembered(entry, _stamp(path.stat())) or self._hash(path, entry)

    def files(self, paths: Iterable[Path]) -> dict[Path, FileFacts]:
        """The same for several files at once; hashing releases the interpreter lock, so threads help."""
        wanted = list(dict.fromkeys(paths))
        if not wanted:
            return {}
        with ThreadPoolExecutor(min(_MAX_WORKERS, len(wanted), os.cpu_count() or 1)) as pool:
            return dict(zip(wanted, pool.map(self.file, wanted), strict=True))

    def _hash(self, path: Path, entry: Path) -> FileFacts:
        started_ns = time.time_ns()
        with path.open("rb") as file:
            before = _stamp(os.fstat(file.fileno()))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            after = _stamp(os.fstat(file.fileno()))
        if before == after and max(before[1], before[2]) + _MARGIN_NS < started_ns:
            self._remember(entry, {"stamp": before, "sha256": sha256})
        return FileFacts(size=after[0], sha256=sha256)

    def _remember(self, entry: Path, value: dict[str, object]) -> None:
        """Writes an entry whole. No fsync: one that a crash tears can't be read, and is hashed again."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".entry-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(value, file)
            os.replace(temporary, entry)
        except OSError:
            return


def _stamp(status: os.stat_result) -> _Stamp:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _remembered(entry: Path, stamp: _Stamp) -> FileFacts | None:
    try:
        value = json.loads(entry.read_bytes())
        if value["stamp"] != stamp:
            return None
        return FileFacts(size=stamp[0], sha256=value["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
