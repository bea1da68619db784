"""What a disk of one process refuses is raised in all processes of a run, so that none waits for another."""

from __future__ import annotations

import errno
import platform
from collections.abc import Iterable

__all__ = ["Refused", "RefusedElsewhereError", "raise_first", "refused_here"]

Refused = list[str | int | None]
"""Number, words, file and host, in the form of JSON."""


class RefusedElsewhereError(OSError):
    """What the disk of another process has refused; its words name that."""


def refused_here(error: OSError | None) -> Refused | None:
    """What this process says of an error to the others; None where it has none."""
    if error is None:
        return None
    file = str(error.filename) if error.filename else None
    return [error.errno or errno.EIO, error.strerror or str(error), file, platform.node()]


def raise_first(own: OSError | None, said: Iterable[Refused | None]) -> None:
    """Raises this process's own error, else the first that another one has.

    Args:
        own: Of this process.
        said: What each process has said, by rank.

    Raises:
        OSError: This process has an error.
        RefusedElsewhereError: Another one has.
    """
    if own is not None:
        raise own
    for rank, one in enumerate(said):
        if one is not None:
            number, words, file, host = one
            raise RefusedElsewhereError(number, f"{words} (process {rank} on {host})", file)
