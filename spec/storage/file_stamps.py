"""What the file system says of a file, as a proof that nobody wrote to it in between.

Five figures that together no ordinary write leaves alone. The change time is the kernel's own: no call sets it, so that
tools that restore a modification time don't hide a write. It is only as fine as the clock that the file system uses,
hence the margin: what was changed within it may change once more and keep its stamp.
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Stamp", "is_settled", "stamp_of"]

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
