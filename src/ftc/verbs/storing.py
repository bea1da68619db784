"""`storage:` in `ftc.launch.yaml`: a run's state is also at an address, and another machine goes on from there.

Behind each checkpoint the first process links its files and copies the run's documents aside, and a thread sends them,
one state at a time, while training goes on. A state counts once its list is there. Where a run begins, the newest
whole state that is ahead of this machine is fetched first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.events import CheckpointSaved, Event, EventListener, Noticed
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.stored import StoredState, list_name
from ftc.spec.storage.file_links import link_or_copy
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import RunFolder, runs_folder, step_of
from ftc.spec.storage.processes import is_follower
from ftc.verbs.launch import site_settings
from ftc.verbs.runs import Run, load_run, run_of
from ftc.verbs.standing import standing_of
from ftc.verbs.storage import Damaged, Storage, open_storage, reaching

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.plan import Planned

__all__ = ["brought_back", "store_rest", "stored"]

Say = Callable[[Diagnostic], None]


def brought_back(planned: Planned, listen: EventListener, doubted: set[str]) -> Planned:
    """A plan with its run as far as the site's storage has it, where this machine isn't as far; all processes call it.

    Args:
        planned: The plan.
        listen: Hears of states that aren't whole.
        doubted: Takes the digests of such states' files: what the storage has under these names is not sure to be them.

    Raises:
        Refusal: The storage can't be used (FTC720), or packages for it are missing (FTC650).
        OSError: The disk refused; this machine's own state is left.
    """
    from ftc.runtime.execution.meeting_store import by_the_first

    address = site_settings(planned.root).storage
    if address is None:
        return planned
    by_the_first("storage", partial(_bring_back, planned, address, partial(_say, listen), doubted))
    run = run_of(planned.root, planned.plan)
    return replace(planned, run=run, standing=standing_of(planned.root, planned.plan, run))


def _say(listen: EventListener, finding: Diagnostic) -> None:
    listen(Noticed(code=finding.code, text=finding.summary))


def _bring_back(planned: Planned, address: str, say: Say, doubted: set[str]) -> None:
    from ftc.runtime.execution.meeting_store import heartbeat
    from ftc.runtime.execution.state import is_held

    plan, target = planned.plan, runs_folder(planned.root, planned.plan.name) / planned.plan.run_id
    storage = open_storage(address, plan.name, target.name)
    storage.copied = heartbeat
    with reaching(address):
        names = storage.lists()
        storage.write("begun.txt", f"{plan.job_sha256()}\n".encode())  # whoever may not write is told before training
    fetched = planned.root / "runs" / ".fetched" / plan.name / target.name  # on the disk where it is to be
    for name in names:
        state = None
        try:
            with reaching(address):
                state = storage.read(name)
            if state.job_sha256 != plan.job_sha256() or state.run_id != target.name:
                raise Damaged(f"{name} belongs to another job")
            if _is_as_far(target, state) or is_held(RunFolder(target)):
                return
            make_ignored(planned.root / "runs")
            with reaching(address):
                storage.fetch(state, fetched)
        except Damaged as damage:
            doubted.update(facts.sha256 for facts in state.files.values()) if state else None
            say(diagnostic("FTC722", f"a state of run {target.name} in the storage is damaged: {damage}"))
            continue
        if target.exists():
            shutil.move(target, _aside(planned.root, target))
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(target)
        with suppress(OSError):  # another plan's states may arrive there, too
            fetched.parent.rmdir()
            fetched.parent.parent.rmdir()
        return


def _is_as_far(target: Path, state: StoredState) -> bool:
    """Whether the run's folder on this machine has at least what the storage has."""
    try:
        record = load_run(target).record
    except (OSError, Refusal):
        return False
    return record.is_finished or (not state.is_over and max(_saved(RunFolder(target)), default=0) >= state.step)


def _saved(run: RunFolder) -> list[int]:
    steps = (step_of(one) for one in run.checkpoints.glob("step-*"))
    return sorted(step for step in steps if step is not None)


def _aside(root: Path, target: Path) -> Path:
    """A free place for a run's folder that another state takes the place of: nothing is deleted."""
    folder = root / ".ftc" / "replaced"
    make_ignored(folder)
    return next(path for number in range(1, 10**6) if not (path := folder / f"{target.name}-{number}").exists())


@contextmanager
def stored(
    root: Path, plan: Plan, folder: Path, listen: EventListener, doubted: Collection[str] = ()
) -> Iterator[EventListener]:
    """Sends a run's states to the site's storage while the block runs, and the last one at its end.

    Args:
        root: The project.
        plan: The run's plan.
        folder: The run's.
        listen: Hears of every event that what is yielded hears, and of a state that couldn't be sent: the next one has
            all that it had.
        doubted: Digests of files that are sent whatever the storage has under their names.

    Raises:
        Refusal: The last state couldn't be sent (FTC720).
        OSError: The disk refused.
    """
    address = site_settings(root).storage
    if address is None or is_follower(os.environ):
        yield listen
        return
    storage, outgoing = open_storage(address, plan.name, folder.name), _outgoing(root, folder)
    storage.doubted.update(doubted)
    sending = _Sending(storage, RunFolder(folder), outgoing, plan.job_sha256(), listen)
    try:
        yield sending.hear
    except KeyboardInterrupt:  # somebody insists: what is on its way ends with this process
        raise
    except BaseException:
        with suppress(Refusal, OSError):  # why the run failed counts
            sending.finish()
        raise
    sending.finish()


def store_rest(run: Run, listen: EventListener) -> None:
    """Sends the end of a run that is over, where it could not be sent before; without that, nothing is connected to.

    Raises:
        Refusal: It couldn't be sent again (FTC720).
        OSError: The disk refused.
    """
    if _outgoing(run.root, run.folder).exists():
        with stored(run.root, run.plan, run.folder, listen):
            pass


def _outgoing(root: Path, folder: Path) -> Path:
    """Where what is to be sent lies meanwhile: it stays until the run's last state has arrived."""
    return root / ".ftc" / "outgoing" / folder.name


@dataclass(slots=True)
class _Sending:
    """States of a run on their way: one at a time, so that a slow network holds no more than one beside the run."""

    storage: Storage
    run: RunFolder
    outgoing: Path
    job_sha256: str
    listen: EventListener
    _now: Future[None] | None = None
    _states: dict[str, StoredState] = field(default_factory=dict)
    """What this process has sent and still lies there, by the names of lists, the newest first."""
    _known: dict[tuple[str, int, int, int], FileFacts] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Sends a state behind a checkpoint, unless the one before is still on its way; the next one holds it all."""
        self.listen(event)
        self._look()
        if not isinstance(event, CheckpointSaved) or self._now is not None:
            return
        try:
            files = self._take()
        except OSError as error:
            self._tell(error)
        else:
            self._now = Future()
            Thread(target=self._send_beside, args=(self._now, event.step, files), daemon=True).start()

    def _send_beside(self, sent: Future[None], step: int, files: dict[str, Path]) -> None:
        """Sends in a thread for which a process that is broken off doesn't wait."""
        try:
            self._send(step, files)
        except BaseException as error:  # noqa: BLE001  whoever looks at it is told
            sent.set_exception(error)
        else:
            sent.set_result(None)

    def finish(self) -> None:
        """Waits for what is on its way, then sends what the run's folder holds at last.

        The run is held meanwhile. Where another process holds it, that one sends what it does.

        Raises:
            Refusal: It couldn't be sent (FTC720).
            OSError: The disk refused.
        """
        from ftc.runtime.execution.state import hold, is_held

        if self._now is not None:
            self._now.exception()
        self._look()
        if not self.run.record.exists() or is_held(self.run):
            return
        with hold(self.run):
            record, steps = load_run(self.run.path).record, _saved(self.run)
            if not steps and not record.is_finished:
                return
            step, files = record.steps_done if record.is_finished else steps[-1], self._take()
            with reaching(self.storage.address):
                self._send(step, files, is_over=record.is_finished)
            shutil.rmtree(self.outgoing)

    def _look(self) -> None:
        """Tells of a state that couldn't be sent."""
        if self._now is None or not self._now.done():
            return
        error, self._now = self._now.exception(), None
        if error is not None:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        finding = diagnostic("FTC721", f"a checkpoint could not be stored at `{self.storage.address}`: {why}")
        _say(self.listen, finding)

    def _take(self) -> dict[str, Path]:
        """The run's folder as it is now, put aside: checkpoints and results as links, since they don't change."""
        shutil.rmtree(self.outgoing, ignore_errors=True)
        make_ignored(self.outgoing.parent)
        self.outgoing.mkdir(parents=True)
        files: dict[str, Path] = {}
        for path in sorted(self.run.path.rglob("*")):
            name = path.relative_to(self.run.path)
            if not path.is_file() or any(part.startswith(".") for part in name.parts):
                continue
            place = files[name.as_posix()] = self.outgoing / name
            place.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, place) if len(name.parts) > 1 else shutil.copyfile(path, place)
        return files

    def _send(self, step: int, files: dict[str, Path], *, is_over: bool = False) -> None:
        facts = {}
        for name, path in files.items():
            status = path.stat()
            key = (name, status.st_ino, status.st_mtime_ns, status.st_size)
            if key not in self._known:  # the files of a checkpoint are hashed once
                self._known[key] = FileFacts(size=status.st_size, sha256=file_digest(path))
            facts[name] = self._known[key]
        state = StoredState(
            schema="ftc.stored/1",
            job_sha256=self.job_sha256,
            run_id=self.run.path.name,
            step=step,
            is_over=is_over,
            files=facts,
        )
        self.storage.keep(state, files)
        name = list_name(step, is_over=is_over)
        older = {} if is_over else {one: before for one, before in self._states.items() if one != name}
        self._states = {name: state} | older
        while len(self._states) > self.storage.least:
            self._states.popitem()
        self.storage.forget(self._states)
