"""What is said where a run lacks something of its machine: room on the disk, or memory of the device."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, diagnostic

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session

__all__ = ["disk_refused", "out_of_memory"]


def disk_refused(session: Session, error: OSError) -> Diagnostic:
    """That a file could not be written, with the room that is there and the room that is needed."""
    folder = session.folder.path
    free = shutil.disk_usage(folder).free / 2**20
    return diagnostic(
        "FTC647",
        f"could not write the run: {error.strerror or error}",
        notes=(
            *((f"the file is {error.filename}",) if error.filename else ()),
            f"{free:,.0f} MiB are free there; the plan needs {session.plan.disk_bytes / 2**20:,.0f} MiB",
            "older checkpoints are intact",
        ),
        help=(
            "free disk space or allow writing there, and apply the plan again; it continues from the last checkpoint"
        ),
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
