"""Data files that no memory, or no disk, holds: refused before anything of them is read or hashed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ftc.compiler.resolve.rows.spool import MOST_IN_MEMORY, spool_folder
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.row_files import CONLL, TEXT_FILES
from ftc.spec.storage.writable import MORE_ROOM, NO_ROOM

__all__ = [
    "DISK_TIMES",
    "free_bytes",
    "full_disk",
    "memory_bytes",
    "refuse_beyond_memory",
    "refuse_too_large",
    "too_large",
]

_BY_ROW = tuple(suffix for suffix in TEXT_FILES if suffix not in CONLL)
"""Kinds of which one row after the other is read."""
DISK_TIMES = 4
"""Bytes of disk for each byte of a file: its rows, twice while they are written again, runs of words, and tokens."""


def refuse_too_large(path: Path, shown_as: str, span: Span | None) -> None:
    """Lets pass a file whose rows may fit.

    Raises:
        Refusal: FTC327.
    """
    refuse_beyond_memory(path, shown_as, span)
    size, kind = path.stat().st_size, path.suffix.lower()
    if kind in _BY_ROW and size > MOST_IN_MEMORY and DISK_TIMES * size > (free := free_bytes()):
        reason = (
            f"rows lie on disk while they are compared, up to {DISK_TIMES} times the bytes of their file, and the disk "
            f"of {spool_folder()} has {free / 2**30:,.2f} GiB left"
        )
        raise too_large(path, shown_as, span, reason)


def refuse_beyond_memory(path: Path, shown_as: str, span: Span | None) -> None:
    """Lets pass a file that is read row by row, and one whose rows, of tagged words, memory may hold.

    Rows of other kinds may be compressed, or hold columns that nobody reads.

    Raises:
        Refusal: FTC327.
    """
    if path.suffix.lower() in CONLL and path.stat().st_size > (most := memory_bytes()):
        reason = f"rows take more memory than their file has bytes, and this process may have {most / 2**30:,.2f} GiB"
        raise too_large(path, shown_as, span, reason)


def free_bytes() -> int:
    """What is left of the disk on which rows lie meanwhile."""
    return shutil.disk_usage(spool_folder()).free


def memory_bytes() -> int:
    """What a process can have at most: the machine's memory, or less where a limit says so."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(installed, *(limit if limit != resource.RLIM_INFINITY else installed for limit in limits))


def too_large(path: Path, shown_as: str, span: Span | None, reason: str) -> Refusal:
    """What is said of a file whose rows no memory holds (FTC327)."""
    summary = f"{shown_as} is too large: {path.stat().st_size / 2**30:,.2f} GiB"
    help = "take part of the rows, or plan on a machine with more memory and disk"
    return Refusal([diagnostic("FTC327", summary, span, notes=reason, help=help, path="data.source")])


def full_disk(shown_as: str, span: Span | None, error: OSError) -> Refusal | None:
    """What is said where the disk takes no more of a file's rows (FTC647); None for an error of another kind."""
    if error.errno not in NO_ROOM:
        return None
    summary = f"the disk has no room for the rows of {shown_as}: {(error.strerror or str(error)).lower()}"
    notes = [f"rows lie in ftc's cache while they are read; {free_bytes() / 2**30:,.2f} GiB are free on its disk"]
    return Refusal([diagnostic("FTC647", summary, span, notes=notes, help=MORE_ROOM, path="data.source")])
