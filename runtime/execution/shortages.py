"""What is said where a run lacks something of its machine: room on the disk, or memory of the device."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

from ftc.runtime.execution.refused_disks import RefusedElsewhereError
from ftc.spec.diagnostics import Diagnostic, diagnostic

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session

__all__ = ["copy_refused", "disk_refused", "out_of_memory"]

_FULL_OR_BROKEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def disk_refused(session: Session, error: OSError) -> Diagnostic:
    """That a file could not be written, with the room that this machine has and the room that is needed."""
    room: tuple[str, ...] = ()
    if not isinstance(error, RefusedElsewhereError):  # of another machine's disk nobody here knows
        free = shutil.disk_usage(session.folder.path).free / 2**20
        needed = session.plan.disk_bytes / 2**20
        room = (f"{free:,.0f} MiB are free there; the plan needs {needed:,.0f} MiB",)
    return diagnostic(
        "FTC647",
        f"could not write the run: {error.strerror or error}",
        notes=(
            *((f"the file is {error.filename}",) if error.filename else ()),
            *room,
            "older checkpoints are intact",
        ),
        help=(
            "free disk space or allow writing there, and apply the plan again; it continues from the last checkpoint"
        ),
    )


def copy_refused(error: OSError) -> Diagnostic:
    """That the disk of one process doesn't take a file that another one sends it, as all of them say it.

    Args:
        error: Its words name the process.
    """
    is_full = error.errno in _FULL_OR_BROKEN
    place = f"`{error.filename}`" if error.filename else "a file"
    reason = error.strerror or str(error)
    return diagnostic(
        "FTC647" if is_full else "FTC648",
        f"could not write {place}: {reason}" if is_full else f"{place} is not writable: {reason}",
        notes="another machine sent it; all processes have stopped, and older checkpoints are intact",
        help=f"{'free disk space' if is_full else 'allow writing'} there, and apply the plan again in all processes",
    )


def out_of_memory(session: Session) -> Diagnostic:
    """That the device has no memory left, beside what the plan expected."""
    memory = session.plan.memory
    return diagnostic(
        "FTC633",
        "out of device memory",
        notes=f"the plan expected {memory.peak_bytes / 2**30:.1f} GiB of {memory.limit_bytes / 2**30:.1f} GiB",
        help="lower `train.micro_batch`, or set `train.activation_checkpointing: true`",
        path="train.micro_batch",
    )
