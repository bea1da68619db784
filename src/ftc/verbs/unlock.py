"""Locks of runs, for people: who holds one, and how it is taken away from a process that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.spec.documents.machine import Holder

__all__ = ["unlock"]


def unlock(lock_id: str, folder: Path | str = ".") -> str:
    """Takes a run's lock away from its holder, and notes it in the ledger.

    The kernel frees the lock of a process that ends, so that this is only for locks whose holder can't be asked: on a
    file system that keeps them beyond a crash, or on a machine that is gone.

    Args:
        lock_id: The lock's name, as `ftc apply` told it.
        folder: Any folder of the project.

    Returns:
        Name of the run that is free now.

    Raises:
        Refusal: There is no such lock (FTC513), or its holder lives on this machine (FTC514).
    """
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.spec.documents.ledger import Unlocked, append_entry
    from ftc.spec.documents.machine import Holder

    root = project_root(Path(folder) / "recipe")
    for file in sorted((root / "runs").glob("*/*/.holder.json")):
        try:
            holder = Holder.model_validate_json(file.read_bytes())
        except (OSError, ValueError):
            continue
        if holder.id == lock_id:
            _refuse_living(holder)
            run = RunFolder(file.parent)
            append_entry(root, Unlocked, run_id=file.parent.name, lock_id=lock_id, holder=holder.who)
            run.lock.unlink(missing_ok=True)
            run.holder.unlink(missing_ok=True)
            return file.parent.name
    help = "`ftc apply` tells the name of the lock that it finds held; a lock that nobody holds needs no unlocking"
    raise Refusal([diagnostic("FTC513", f"no run of this project is held under `{lock_id}`", help=help)])


def _refuse_living(holder: Holder) -> None:
    import platform

    if holder.host != platform.node() or not _lives(holder):
        return
    note = f"held by {holder.who}"
    help = f"stop it with `kill -INT {holder.pid}`; it saves a checkpoint and frees the lock"
    raise Refusal([diagnostic("FTC514", f"lock `{holder.id}` is held by a living process", help=help, notes=note)])


def _lives(holder: Holder) -> bool:
    """Whether the process exists and is older than its lock: numbers of processes are used again."""
    from datetime import datetime

    import psutil

    try:
        born = psutil.Process(holder.pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return born <= datetime.fromisoformat(holder.since).timestamp() + 1
