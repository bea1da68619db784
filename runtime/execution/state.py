"""The run's folder: who may work in it, and the record, which is true on disk at every moment."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import filelock

from ftc.runtime.execution.last_words import said_nothing
from ftc.runtime.execution.recovery import belongs_to, remembered
from ftc.spec.base import Document
from ftc.spec.canonical import file_digest, is_as_sealed
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.interruption import Interruption, StopKind
from ftc.spec.documents.machine import Holder
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import DeterminismSeen, Observation, Predecessor, RunRecord
from ftc.spec.documents.segments import Launcher, ProcessSeen, Segment
from ftc.spec.storage.atomic_write import sweep, write_file
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular
from ftc.spec.storage.writable import not_writable

__all__ = ["FoundRun", "RunState", "find_run", "hold", "is_held", "refuse_held", "utc_now"]

_D = TypeVar("_D", bound=Document)

_OWN_FILES = frozenset({".lock", ".holder.json", ".last-words.json", ".fault.log"})
_NO_OUTPUTS = frozenset({"record.json", "report.html", "README.md", *_OWN_FILES})
"""What the record doesn't list: itself, the lock, and the pages that are made from it."""


def utc_now() -> str:
    """The time as the record writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class FoundRun:
    """What a run's folder holds.

    Attributes:
        plan: The plan that the run executes.
        record: Its record; None where the run is new, or the record can't be read.
        lost: Names of the documents that can't be read, and are recovered from what lies beside them.
        left: Reason and code of the last process's end, where the record still says that it runs.
    """

    plan: Plan
    record: RunRecord | None
    lost: tuple[str, ...] = ()
    left: tuple[str, str | None] | None = None


def find_run(folder: RunFolder, plan: Plan) -> FoundRun:
    """What a folder holds of a plan's run.

    A run that was begun goes on with its own plan, since a later plan of the same job may differ in estimates. Where
    that plan can't be read, it goes on with the one that is given, if the folder is proved to be its job's.

    Raises:
        Refusal: The folder holds something else.
    """
    names = {path.name for path in folder.path.iterdir()} if folder.path.is_dir() else set()
    beforehand = {*_OWN_FILES, folder.judged.name}  # a replay is given what a judge said
    names = {name for name in names - beforehand if not name.startswith(".tmp-")}
    if not names:
        return FoundRun(plan, None)
    begun, record = _read(folder.plan, Plan), _read(folder.record, RunRecord)
    if record is not None and not record.is_finished and not is_as_sealed(folder.record):
        record = None  # of a finished run an audit says what was changed; going on from it would hide that
    lost = tuple(
        file.name
        for file, found in ((folder.plan, begun), (folder.record, record))
        if found is None and (file.exists() or begun is None)
    )
    if begun is None:
        if not belongs_to(folder, plan):
            why = "its plan.json can't be read" if folder.plan.exists() else "no plan.json"
            raise Refusal([_foreign(folder, f"it holds {', '.join(sorted(names)[:3])}; {why}")])
        if record is not None:
            record = record.model_copy(update={"plan_sha256": plan.sha256})
        return FoundRun(plan, record, lost)
    if begun.job_sha256() != plan.job_sha256():
        raise Refusal([_foreign(folder, f"it belongs to job {begun.run_id}, not to {plan.run_id}")])
    if record is not None and record.plan_sha256 != begun.sha256:
        raise Refusal([_foreign(folder, "its record and its plan.json don't match")])
    left = said_nothing(folder, len(record.segments)) if record and record.is_open else None
    return FoundRun(begun, record, lost, left)


def _read(file: Path, kind: type[_D]) -> _D | None:
    try:
        return kind.model_validate_json(read_regular(file))
    except (OSError, ValueError):
        return None


@contextmanager
def hold(folder: RunFolder) -> Iterator[None]:
    """Holds the run's lock, and clears what a crashed process left half written.

    Raises:
        Refusal: Another process holds it, or nothing can be written there.
    """
    lock = filelock.FileLock(folder.lock, blocking=False)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise Refusal([_held(folder)]) from error
    except OSError as error:
        raise not_writable(folder.path.parent, error) from error
    try:
        for place in (folder.path, folder.checkpoints):
            sweep(place)
        holder = Holder(id=uuid.uuid4().hex[:8], pid=os.getpid(), host=platform.node(), since=utc_now())
        write_file(folder.holder, holder.to_text().encode())
        yield
    finally:
        folder.holder.unlink(missing_ok=True)
        lock.release()


def refuse_held(folder: RunFolder) -> None:
    """Looks whether another process holds the run's lock, without taking it.

    Raises:
        Refusal: One does.
    """
    if is_held(folder):
        raise Refusal([_held(folder)])


def is_held(folder: RunFolder) -> bool:
    """Whether another process holds the run's lock, or may hold it, where nobody here can ask; it is not taken."""
    if not folder.lock.exists():
        return False
    lock = filelock.FileLock(folder.lock, blocking=False)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):  # of a file that may not be opened for writing
        return True
    lock.release()
    return False


class RunState:
    """The record in memory and on disk.

    Args:
        folder: The run's folder, held by this process.
        record: What is known so far.
        writes: False in all processes of a run but the first.
    """

    def __init__(self, folder: RunFolder, record: RunRecord, *, writes: bool) -> None:
        self.record = record
        self._folder = folder
        self._writes = writes

    @classmethod
    def begin(
        cls,
        folder: RunFolder,
        plan: Plan,
        seen: tuple[Observation, tuple[ProcessSeen, ...], Launcher | None],
        before: FoundRun,
        previous: Predecessor | None,
    ) -> RunState:
        """Opens a new segment, of a new run or of one that was left; for the process that holds the folder.

        Args:
            folder: The run's folder.
            plan: The run's plan.
            seen: What the first process found, what each of several did, and who started them.
            before: What the folder holds.
            previous: The run of the same recipe that was the last one to end.
        """
        found, processes, launcher = seen
        record = before.record or _first_record(folder.path.name, plan, found, previous)
        if before.record is None and before.lost:
            record = record.model_copy(update=remembered(folder, plan, before.lost))
        state = cls(folder, record, writes=True)
        if before.record is not None and before.lost:
            state.interrupt("recovered", f"{' and '.join(before.lost)} could not be read", code="FTC656")
        if before.left is not None:
            state.interrupt("lost", before.left[0], code=before.left[1])
        done = state.record.steps_done
        segment = Segment(
            started_at=utc_now(),
            ended_at=None,
            from_step=done,
            to_step=done,
            ended_by=None,
            machine_sha256=found.machine.digest(),
            ftc_sha256=found.code.ftc_sha256,
            processes=processes,
            launcher=launcher,
        )
        if before.lost or not folder.plan.exists():
            write_file(folder.plan, plan.to_text().encode())
        state.update(status="running", observed=found, segments=(*state.record.segments, segment))
        return state

    def update(self, **changes: Any) -> None:
        """Changes the record, on disk first."""
        record = self.record.model_copy(update=changes).sealed()
        if self._writes:
            write_file(self._folder.record, record.to_text().encode())
        self.record = record

    def note_inputs(self, digests: Sequence[str]) -> None:
        """Notes what each of several processes has read, by rank."""
        *earlier, current = self.record.segments
        seen = [
            one.model_copy(update={"inputs_sha256": digest})
            for one, digest in zip(current.processes, digests, strict=True)
        ]
        self.update(segments=(*earlier, current.model_copy(update={"processes": tuple(seen)})))

    def progress(self, step: int, **changes: Any) -> None:
        """Notes how far the run has come."""
        *earlier, current = self.record.segments
        segments = (*earlier, current.model_copy(update={"to_step": step}))
        self.update(steps_done=step, segments=segments, **changes)

    def interrupt(
        self,
        kind: StopKind | Literal["failed", "lost", "redone", "recovered"],
        reason: str,
        *,
        code: str | None = None,
    ) -> None:
        """Notes why the run stops or does steps again; after changed inputs nothing beyond the last proof counts."""
        record = self.record
        one = Interruption(
            at=utc_now(),
            segment=len(record.segments),
            kind=kind,
            code=code,
            reason=reason,
            step=record.steps_done,
            usable_step=(record.proved_step or 0) if code == "FTC515" else None,
        )
        self.update(interruptions=(*record.interruptions, one))

    def end(
        self,
        status: StopKind | Literal["failed", "finished", "gate_failed"],
        ended_by: StopKind | Literal["finished", "failed", "early_stop"],
    ) -> None:
        """Closes the segment; of a run that is over, lists every file that it leaves."""
        *earlier, current = self.record.segments
        closed = current.model_copy(update={"ended_at": utc_now(), "ended_by": ended_by})
        ended = self.record.model_copy(update={"status": status})
        outputs = _outputs(self._folder.path) if self._writes and ended.is_finished else {}
        self.update(status=status, segments=(*earlier, closed), outputs=outputs)


def _first_record(name: str, plan: Plan, found: Observation, previous: Predecessor | None) -> RunRecord:
    asked = plan.settings.train.determinism
    elsewhere = plan.settings.model.fetched is not None
    unproven = "the check has not run yet" if asked.proof_steps else f"`{asked.asked}` requires no check"
    unproven = "a hosted service trained, and nobody here can do that again" if elsewhere else unproven
    return RunRecord(
        id=name,
        name=plan.name,
        ftc_version=plan.ftc_version,
        plan_sha256=plan.sha256,
        status="running",
        segments=(),
        observed=found,
        previous=previous,
        determinism=DeterminismSeen(level="D0", proof_steps=0, detail=unproven),
        steps_done=0,
        selected_step=None,
        initial_weights_sha256=None,
        final_weights_sha256=None,
        outputs={},
        train_seconds=None if elsewhere else 0.0,
        supervised_tokens=None if elsewhere else 0,
        tokens=None if elsewhere else 0,
        peak_memory_bytes=None,
        memory_method="",
    )


def _outputs(folder: Path) -> dict[str, FileFacts]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: FileFacts(size=path.stat().st_size, sha256=file_digest(path))
        for name, path in files.items()
        if name not in _NO_OUTPUTS
    }


def _held(folder: RunFolder) -> Diagnostic:
    try:
        holder = Holder.model_validate_json(read_regular(folder.holder))
    except (OSError, ValueError):  # it has only just begun, or is about to end
        who, notes = "another process", []
    else:
        who = holder.who
        notes = [f"locked by {holder.id}; `ftc run unlock {holder.id}` releases it if that process has ended"]
    return diagnostic(
        "FTC627",
        f"run {folder.path.name} is in use by {who}",
        help="wait for it, or stop it with Ctrl-C; it saves a checkpoint first",
        notes=notes,
    )


def _foreign(folder: RunFolder, why: str) -> Diagnostic:
    return diagnostic(
        "FTC628",
        f"`{folder.path.name}` does not belong to this run",
        notes=why,
        help="move the folder elsewhere and apply again; nothing in it was changed",
    )
