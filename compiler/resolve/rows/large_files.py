"""Data files that no memory holds: refused before anything of them is read or hashed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ftc.spec.diagnostics import Refusal, Span, diagnostic

__all__ = ["memory_bytes", "refuse_larger_than_memory", "too_large"]

_AS_TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".conll", ".iob", ".iob2", ".bio")
"""Kinds whose rows take more memory than their file has bytes; others may be compressed, or hold columns unread."""


def refuse_larger_than_memory(path: Path, shown_as: str, span: Span | None) -> None:
    """Lets pass a file whose rows may fit.

    Raises:
        Refusal: FTC327.
    """
    if path.suffix.lower() in _AS_TEXT and path.stat().st_size > (most := memory_bytes()):
        reason = f"rows take more memory than their file has bytes, and this process may have {most / 2**30:,.2f} GiB"
        raise too_large(path, shown_as, span, reason)


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
    help = "take part of the rows, or plan on a machine with more memory"
    return Refusal([diagnostic("FTC327", summary, span, notes=reason, help=help, path="data.source")])
