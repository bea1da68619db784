"""Writing a checkpoint: by one process, or by all that hold parts of the model, each its own part at the same time.

The first process makes a folder under a temporary name, all write into it, and once each has said what it wrote, the
first one writes the manifest and gives the folder its name. Where anything fails, the older checkpoints are as before.

A thread can write a copy in host RAM while training changes the tensors. It talks to no other process: what they say to
each other they say between two steps, in the order in which all of them exchange everything else.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import torch

from ftc.runtime.artifacts.checkpoint_files import MANIFEST, Manifest, State, step_folder
from ftc.runtime.artifacts.tensor_files import write_tensors
from ftc.runtime.execution.refused_disks import raise_first, refused_here
from ftc.runtime.models.row_parts import Share
from ftc.spec.canonical import file_digest
from ftc.spec.documents.facts import FileFacts
from ftc.spec.storage.atomic_write import building_folder, building_name
from ftc.spec.storage.checkpoint_tensors import STATE, part_name, placement_header

__all__ = ["Collect", "Contents", "Exchange", "Saving", "alone"]

Contents = Mapping[str, Mapping[str, torch.Tensor]]
"""The tensors of each file of a checkpoint, by name."""

Exchange = Callable[[str], list[str]]
"""Gives what each process that writes has said, by rank; all of them have to ask together."""

Collect = Callable[[Path, Sequence[Mapping[str, FileFacts]]], None]
"""Brings what each process has written in the folder of a checkpoint to the first one; all of them have to call it.
What a disk refuses, all of them raise."""

_File = tuple[str, Mapping[str, torch.Tensor], dict[str, str]]
"""Name, tensors and header."""
_APPEAR_SECONDS = 20.0
_POLL_SECONDS = 0.05


class _AbandonedError(Exception):
    """Leaves a folder that is being filled, so that it goes."""


def alone(said: str) -> list[str]:
    """The exchange of a process that writes by itself."""
    return [said]


class Saving:
    """A checkpoint that is being written. Processes that write parts of one call the same methods at the same time.

    Args:
        checkpoints: The run's folder of checkpoints.
        state: What belongs to the checkpoint beside its tensors.
        share: The part that this process holds; None where it writes all of it.
        exchange: Hears from the others.
        leads: Whether this process makes the folder, and writes the manifest when all have written.
        collect: Sends the first process the parts of those that don't have its disk.
        is_apart: Whether this is such a process: it writes into a folder of its own, which goes once its part is sent.
    """

    def __init__(
        self,
        checkpoints: Path,
        state: State,
        share: Share | None = None,
        exchange: Exchange = alone,
        *,
        leads: bool,
        collect: Collect | None = None,
        is_apart: bool = False,
    ) -> None:
        self.state = state
        self._target, self._share, self._exchange = step_folder(checkpoints, state.progress.step), share, exchange
        self._leads, self._collect, self._is_apart = leads, collect, is_apart
        self._open = ExitStack()
        """Renames the folder when it is left, or removes it where anything was raised."""
        self._error: OSError | None = None
        self._broken: Exception | None = None
        """What went wrong in the thread beside what disks refuse."""
        self._written: dict[str, FileFacts] = {}
        self._thread: Thread | None = None

    @property
    def is_together(self) -> bool:
        """Whether `finish` hears from other processes, which have to call it, too."""
        return self._share is not None

    def write(self, tensors: Contents) -> None:
        """Writes this process's part; what goes wrong is raised by `finish`, in all processes.

        Raises:
            OSError: The folder can't be made.
        """
        self._open_folder()
        self._write_files(self._files(tensors))

    def write_beside(self, tensors: Contents) -> None:
        """Copies this process's part into host RAM and has a thread write it; the tensors may then change.

        Raises:
            OSError: The folder can't be made.
        """
        self._open_folder()
        copies = [
            (name, {one: tensor.detach().to("cpu", copy=True) for one, tensor in held.items()}, metadata)
            for name, held, metadata in self._files(tensors)
        ]
        # A process that is broken off doesn't wait for it: what it leaves is no checkpoint.
        self._thread = Thread(target=self._write_copies, args=(copies,), daemon=True)
        self._thread.start()

    def is_written(self) -> bool:
        """Whether the threads of all processes are done."""
        is_running = self._thread is not None and self._thread.is_alive()
        return not any(map(json.loads, self._exchange(json.dumps(is_running))))

    def abandon(self) -> None:
        """Takes away what is there of a checkpoint that is not to be."""
        try:
            with self._open:
                raise _AbandonedError
        except _AbandonedError:
            return

    def _write_copies(self, files: list[_File]) -> None:
        """Writes them one after the other, and lets go of each once it is written."""
        try:
            while files:
                self._write_files(files[:1])
                del files[0]
        except Exception as error:  # noqa: BLE001  raised where it is waited for
            self._broken = error
        finally:
            files.clear()

    def _open_folder(self) -> None:
        """Makes the folder, and sees it in all processes.

        Raises:
            OSError: One of them can't.
        """
        try:
            if self._leads or self._is_apart:
                self._target.parent.mkdir(exist_ok=True)
                self._open.enter_context(building_folder(self._target))
        except OSError as error:
            self._error = error
        self._compare()
        try:
            _wait_for(building_name(self._target))
        except OSError as error:
            self._error = error

    def _write_files(self, files: Sequence[_File]) -> None:
        place = building_name(self._target)
        try:
            for name, held, metadata in () if self._error else files:
                write_tensors(place / name, held, metadata)
                self._written[name] = _facts(place / name, sync=True)
        except OSError as error:
            self._error = error

    def finish(self) -> None:
        """Makes the checkpoint count, once all parts are there.

        Raises:
            OSError: A part or the manifest couldn't be written, in all processes; older checkpoints are intact.
            Refusal: What was written elsewhere can't be brought here; likewise.
        """
        with self._open:
            written, place = self._parts(), building_name(self._target)
            if self._share is not None and self._collect is not None:
                self._collect(place, written)
            if self._is_apart:
                self.abandon()
            last = self._open.pop_all()
        try:
            with last:
                if self._leads:
                    self._write_manifest(place, written)
        except OSError as error:
            self._error = error
        self._compare()  # the others don't train on while the first one can't end the checkpoint

    def _parts(self) -> list[dict[str, FileFacts]]:
        """What each process has written, once all of them have.

        Raises:
            OSError: One of them couldn't.
        """
        if self._thread is not None:
            self._thread.join()
        if self._broken is not None:  # the others hear of it before it is raised here
            self._error = OSError(errno.EIO, str(self._broken) or type(self._broken).__name__)
        try:
            return self._compare()
        except OSError as error:
            raise self._broken or error from None

    def _write_manifest(self, place: Path, written: Sequence[Mapping[str, FileFacts]]) -> None:
        files = {name: facts for one in written for name, facts in one.items()}
        (place / STATE).write_text(self.state.to_text(), encoding="utf-8")
        files[STATE] = _facts(place / STATE)
        manifest = Manifest(schema="ftc.checkpoint/1", files=dict(sorted(files.items())))
        (place / MANIFEST).write_text(manifest.to_text(), encoding="utf-8")

    def _files(self, tensors: Contents) -> Sequence[_File]:
        """Name, tensors and header of each file that this process writes."""
        job, share = {"job_sha256": self.state.job_sha256}, self._share
        if share is None:
            return [(name, held, job) for name, held in tensors.items()]
        found = []
        for name, held in tensors.items() if share.is_kept else ():
            parts = share.of(held)
            places = placement_header({one: begin for one, (_, begin) in parts.items()})
            file = part_name(name, share.number + 1, share.count)
            found.append((file, {one: part for one, (part, _) in parts.items()}, job | places))
        return found

    def _compare(self) -> list[dict[str, FileFacts]]:
        """What each process has written so far.

        Raises:
            OSError: One of them couldn't.
        """
        files = {name: one.to_json() for name, one in self._written.items()}
        said = json.dumps({"files": files, "refused": refused_here(self._error)})
        heard = [json.loads(one) for one in self._exchange(said)]
        raise_first(self._error, (one["refused"] for one in heard))
        return [{name: FileFacts.model_validate(facts) for name, facts in one["files"].items()} for one in heard]


def _wait_for(folder: Path) -> None:
    """Waits until a folder that another machine has made is seen here; file systems of a network show it late.

    Raises:
        OSError: It doesn't appear.
    """
    ends = time.monotonic() + _APPEAR_SECONDS
    while not folder.is_dir():
        if time.monotonic() > ends:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        time.sleep(_POLL_SECONDS)


def _facts(path: Path, *, sync: bool = False) -> FileFacts:
    if sync:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return FileFacts(size=path.stat().st_size, sha256=file_digest(path))
