"""A run over several machines without a shared disk: those that don't have the first process's disk get copies.

The first process alone writes a run. The others read of it what the run continues with: record, plan, checkpoint and
result. Where they don't have its folder of runs, these are sent to them over the process group, into a folder that
isn't among their project's runs. Of a divided model each process writes its part of a checkpoint; the parts that were
written elsewhere are sent to the first process, so that the whole run is where it is.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
from pydantic import Field

from ftc.runtime.execution.meeting_store import by_the_first
from ftc.runtime.execution.refused_disks import raise_first, refused_here
from ftc.runtime.execution.shortages import copy_refused
from ftc.runtime.execution.state import hold, is_held
from ftc.spec.base import Document
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.atomic_write import naming, replacing, write_file
from ftc.spec.storage.file_links import link_or_copy
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.processes import is_follower
from ftc.spec.storage.writable import not_writable

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

__all__ = ["NO_COPIES", "Copies", "Sight", "own_folder", "seeing_runs"]

_PIECE = 2**23
"""Bytes of a file that are sent at a time; a device has two of them."""
_APPEAR_SECONDS = 2.0
_POLL_SECONDS = 0.1


class Sight(Document):
    """What a process sees of its run before it meets the others.

    Attributes:
        place: Its machine and project. Processes of one place read the same copies.
        sees_runs: Whether it has the first process's folder of runs.
        run_id: Name of the run's folder.
        steps: How far the run has come by what is here; None where nothing of it is.
        status: How it was left, by its record here; likewise.
        documents: Of the first process: what the run's record and plan say, by the names of their files.
    """

    place: str
    sees_runs: bool
    run_id: str
    steps: int | None = None
    status: str | None = None
    documents: Mapping[str, str] = Field(default_factory=dict)


@contextmanager
def seeing_runs(root: Path) -> Iterator[bool]:
    """Whether this process finds in its project's `runs/` what the first one has just written there.

    The name of a machine says nothing of its disks. All processes have to call it, before they meet.

    Raises:
        Refusal: In the first one: it can't write there (FTC648). In the others: the first one was lost (FTC644).
    """
    runs = root / "runs"
    name = by_the_first("seeing_runs", partial(_mark, runs))
    try:
        yield bool(name) and _appears(runs / name)
    finally:
        if name and not is_follower(os.environ):
            with suppress(OSError):
                (runs / name).unlink()


def _mark(runs: Path) -> str:
    make_ignored(runs)
    mark = runs / f".seen-{uuid.uuid4().hex}"
    try:
        mark.touch(exist_ok=False)
    except OSError as error:
        raise not_writable(runs, error) from error
    return mark.name


def _appears(file: Path) -> bool:
    ends = time.monotonic() + _APPEAR_SECONDS
    while not (is_there := file.exists()) and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)  # file systems of a network show a new file late
    return is_there


@contextmanager
def own_folder(root: Path, run_id: str, rank: int) -> Iterator[None]:
    """Holds this process's folder for copies, which is empty at first; at the end only a run's documents stay there.

    What processes that were killed have left in theirs is removed as well.

    Args:
        root: The project.
        run_id: The plan's, so that runs of several plans don't meet there.
        rank: This process.

    Raises:
        Refusal: Another process holds it (FTC627), or nothing can be written there (FTC648).
    """
    own, copies = _own(root, rank, run_id), root / ".ftc" / "copies"
    make_ignored(copies)
    with ExitStack() as stack:
        try:
            with filelock.FileLock(copies / ".lock"):  # so that nobody clears what another process is about to hold
                stack.enter_context(hold(RunFolder(own)))
                for old in filter(Path.is_dir, own.iterdir()):
                    shutil.rmtree(old)
                for lock in copies.glob("*/*/.lock"):  # of processes that were killed
                    if lock.parent != own and not is_held(RunFolder(lock.parent)):
                        _clear(lock.parent)
        except OSError as error:
            raise not_writable(copies, error) from error
        try:
            yield
        finally:
            _clear(own)


def _clear(own: Path) -> None:
    """Removes what a process had copies of, but its runs' documents, which whoever asked for the run may still read."""
    kept = {one.name for one in RunFolder(own).documents}
    for one in own.glob("*/*/*"):  # of NAME/RUN
        with suppress(OSError):  # a disk that fails must not hide why the run did
            if one.is_dir():
                shutil.rmtree(one)
            elif one.name not in kept:
                one.unlink()


@dataclass(slots=True)
class _Refused:
    """What the disk of one process didn't do of what is sent.

    Attributes:
        reads: Why it doesn't give a file.
        writes: Why it doesn't take one.
    """

    reads: OSError | None = None
    writes: OSError | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """Which processes work on copies of the first one's run, and whether this one does.

    Attributes:
        rank: This process.
        writers: Of each process elsewhere, the one of its place that writes the copies.
    """

    rank: int = 0
    writers: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, sights: Sequence[Sight], rank: int) -> Copies:
        """Those of a run, by what its processes see, in the order of their ranks."""
        elsewhere = {number: one.place for number, one in enumerate(sights) if not one.sees_runs}
        first: dict[str, int] = {}
        return cls(rank, {number: first.setdefault(place, number) for number, place in elsewhere.items()})

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process works on copies."""
        return self.rank in self.writers

    def begin(self, root: Path, plan: Plan, seen: Sight) -> Path:
        """The copy of the run's folder in `own_folder`, with what the first process's documents say of the run."""
        folder = _own(root, self.rank, plan.run_id) / plan.name / seen.run_id
        folder.mkdir(parents=True)
        for file, text in seen.documents.items():
            write_file(folder / file, text.encode())
        return folder

    def share(self, accelerator: Accelerator, run: RunFolder, paths: Iterable[Path]) -> None:
        """Sends files and folders of the first process's run to those elsewhere; all processes have to call it.

        Args:
            accelerator: Knows the others.
            run: The run's folder as this process has it.
            paths: What is sent, in that folder, as the first process has it; what it doesn't have is passed over.

        Raises:
            Refusal: A disk takes no copies (FTC647, FTC648), in all processes.
            OSError: The first process can't read what is sent, in all processes.
        """
        if not self.writers:
            return
        from ftc.runtime.execution.accelerator import agreed

        asked = [one.relative_to(run.path).as_posix() for one in paths]
        files, writers = agreed(accelerator, lambda: _files(run.path, asked)), {*self.writers.values()}
        _compare(accelerator, [self._send(accelerator, run.path / name, size, 0, writers) for name, size in files])
        linked = _Refused()
        if self.is_elsewhere and self.rank not in writers:
            linked = self._linked(run, [name for name, _ in files])
        _compare(accelerator, [linked])  # nobody removes what a neighbour is about to link

    def drop(self, folder: Path) -> None:
        """Removes a copy that was read; where this process sees the first one's run, nothing."""
        if self.is_elsewhere:
            shutil.rmtree(folder, ignore_errors=True)

    def collect(self, accelerator: Accelerator, folder: Path, written: Sequence[Mapping[str, FileFacts]]) -> None:
        """Sends what processes elsewhere have written to the first one; all processes have to call it.

        Args:
            accelerator: Knows the others.
            folder: Where this process has written, and where the first one gets what the others have.
            written: Files of each process, by rank.

        Raises:
            Refusal: The first one's disk doesn't take it (FTC647, FTC648), in all processes.
            OSError: One can't read what it has written, in all processes.
        """
        _compare(
            accelerator,
            [
                self._send(accelerator, folder / name, facts.size, rank, {0})
                for rank, files in enumerate(written)
                for name, facts in (files.items() if rank in self.writers else ())
            ],
        )

    def _linked(self, run: RunFolder, names: Sequence[str]) -> _Refused:
        """Has this process read what another one of its place has written; gives why its disk doesn't take that."""
        try:
            for name in names:
                with naming(run.path / name):
                    link_or_copy(self._written(run) / name, run.path / name)
        except OSError as error:
            return _Refused(writes=error)
        return _Refused()

    def _written(self, run: RunFolder) -> Path:
        """The folder of the process that writes for this one."""
        own, root = run.path.parents[1], run.path.parents[5]
        return _own(root, self.writers[self.rank], own.name) / run.path.relative_to(own)

    def _send(self, accelerator: Accelerator, file: Path, size: int, source: int, targets: Collection[int]) -> _Refused:
        """Sends a file from one process to others; gives why this one's disk doesn't give or take it.

        A process whose disk refuses goes on nevertheless, with this file and the next ones: the others wait for it.
        """
        refused = _Refused()
        pieces = self._pieces(accelerator, file, size, source, refused)
        if self.rank in targets:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as target:
                    target.writelines(piece.cpu().numpy().tobytes() for piece in pieces)
            except OSError as error:
                refused.writes = error
        for _ in pieces:
            pass
        return refused

    def _pieces(
        self, accelerator: Accelerator, file: Path, size: int, source: int, refused: _Refused
    ) -> Iterator[torch.Tensor]:
        """A file of one process, piece by piece in all of them; without its content where it can't be read."""
        import torch

        distributed: Any = torch.distributed
        for start in range(0, size, _PIECE):
            piece = torch.empty(min(_PIECE, size - start), dtype=torch.uint8, device=accelerator.device)
            if self.rank == source and refused.reads is None:
                try:
                    piece.copy_(torch.frombuffer(_read(file, start, len(piece)), dtype=torch.uint8))
                except OSError as error:
                    refused.reads = error
            distributed.broadcast(piece, src=source)
            yield piece


NO_COPIES = Copies()
"""All processes see the first one's run."""


def _read(file: Path, start: int, count: int) -> bytearray:
    with file.open("rb") as source:
        source.seek(start)
        found = bytearray(source.read(count))
    if len(found) < count:
        raise OSError(errno.EIO, "it is shorter than it was", str(file))
    return found


def _compare(accelerator: Accelerator, refused: Iterable[_Refused]) -> None:
    """A meeting behind what was sent, at which all processes raise what the disk of one of them has refused.

    Raises:
        Refusal: One doesn't take it (FTC647, FTC648).
        OSError: One doesn't give it.
    """
    from ftc.runtime.execution.accelerator import everywhere

    own = [*refused]
    reads = next((one.reads for one in own if one.reads is not None), None)
    writes = next((one.writes for one in own if one.writes is not None), None)
    said = json.dumps([refused_here(reads), refused_here(writes)])
    heard = [json.loads(one) for one in everywhere(accelerator, said)]
    raise_first(reads, (one for one, _ in heard))
    try:
        raise_first(None, (one for _, one in heard))
    except OSError as error:  # in the same words everywhere: they name the process
        raise Refusal([copy_refused(error)]) from writes


def _own(root: Path, rank: int, run_id: str) -> Path:
    return root / ".ftc" / "copies" / str(rank) / run_id


def _files(folder: Path, names: Sequence[str]) -> list[tuple[str, int]]:
    """Files below some paths, with their sizes; of a folder its manifest last."""
    found: list[tuple[str, int]] = []
    for name in names:
        path = folder / name
        each = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        each.sort(key=lambda one: one.name == "MANIFEST.json")
        found += [(one.relative_to(folder).as_posix(), one.stat().st_size) for one in each if one.is_file()]
    return found
