"""One of three processes, of which the last two share a machine without the first one's disk.

`python -m tests.runtime.execution.copying_child ROOT`, started by torchrun. Each case is one exchange in which one disk
refuses; a process writes what it was told into a file of its own, and all go on with the next case together.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO
from unittest.mock import patch

from accelerate import Accelerator

from ftc.runtime.execution import copies
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.copies import Copies
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.storage.atomic_write import naming
from ftc.spec.storage.paths import RunFolder

sys.dont_write_bytecode = True  # which a limit on the size of files would tear

SIZES = {"weights.safetensors": 30_000, "optimizer.safetensors": 60_000, "MANIFEST.json": 10}


@contextmanager
def _on_full_disk(path: Path) -> Iterator[BinaryIO]:
    """In the place of a file that is being replaced, one that takes nothing."""
    with naming(path), Path("/dev/full").open("wb") as file:
        yield file


def _disk(*, is_full: bool) -> AbstractContextManager[object]:
    """A disk of this process alone."""
    return patch.object(copies, "replacing", _on_full_disk) if is_full else nullcontext()


class _Process:
    """What a process has of the cases' runs: the first one in `runs/`, the others below their folders for copies."""

    def __init__(self, root: Path) -> None:
        self.accelerator = Accelerator(cpu=True)
        self.rank = self.accelerator.process_index
        self.copies = Copies(self.rank, {1: 1, 2: 1})
        self._root = root

    def run(self, case: str) -> RunFolder:
        """The run's folder of a case, which has a checkpoint in the first process."""
        if self.rank:
            path = self._root / "b" / ".ftc" / "copies" / str(self.rank) / case / "tiny" / case
        else:
            path = self._root / "a" / "runs" / "tiny" / case
            (path / "checkpoints" / "9").mkdir(parents=True)
            for name, size in SIZES.items():
                (path / "checkpoints" / "9" / name).write_bytes(os.urandom(size))
        path.mkdir(parents=True, exist_ok=True)
        return RunFolder(path)

    def share(self, run: RunFolder) -> None:
        self.copies.share(self.accelerator, run, [run.checkpoints / "9"])

    def full(self) -> None:
        """The disk of the machine's writer is full."""
        with _disk(is_full=self.rank == 1):
            self.share(self.run("full"))

    def closed(self) -> None:
        """It takes no folder."""
        run = self.run("closed")
        if self.rank == 1:
            run.checkpoints.write_text("")
        self.share(run)

    def neighbour(self) -> None:
        """The writer has all, and its neighbour can't have it, when the first process has nothing left to send."""
        run = self.run("neighbour")
        if self.rank == 2:
            (run.checkpoints / "9" / "weights.safetensors").mkdir(parents=True)
        self.share(run)

    def collected(self) -> None:
        """The first process's disk is full when it gets a part."""
        folder = self.run("collected").path / "parts"
        folder.mkdir()
        if self.rank == 1:
            (folder / "part").write_bytes(bytes(5000))
        written = [{}, {"part": FileFacts(size=5000, sha256="0" * 64)}, {}]
        with _disk(is_full=self.rank == 0):
            self.copies.collect(self.accelerator, folder, written)

    def looked(self) -> None:
        """The first process can't look for what the others wait to hear of."""
        file = self.run("looked").path / "nothing"
        agreed(self.accelerator, file.read_bytes)

    def shared(self) -> None:
        """Nothing refuses."""
        self.share(self.run("shared"))


def main() -> None:
    """All cases, one after the other."""
    root = Path(sys.argv[1])
    process, told = _Process(root), dict[str, str]()
    cases: list[Callable[[], None]] = [
        *(process.full, process.closed, process.neighbour, process.collected, process.looked, process.shared)
    ]
    for case in cases:
        try:
            case()
        except Refusal as refusal:
            (finding,) = refusal.diagnostics
            told[case.__name__] = f"{finding.code}: {finding.summary}; {finding.help[0]}"
        except OSError as error:
            told[case.__name__] = str(error)
    (root / f"{process.rank}.json").write_text(json.dumps(told))
    process.accelerator.end_training()  # gloo aborts where its threads outlive the process


if __name__ == "__main__":
    main()
