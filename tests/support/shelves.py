"""Where a watched step writes its checkpoint and its result: real files, as a run has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ftc.runtime.artifacts.checkpoint import Contents, Kept, save, verified
from ftc.runtime.artifacts.tensor_files import read_tensors, write_tensors
from ftc.runtime.memory_trace.holdings import Read
from ftc.runtime.training.selection import Progress

__all__ = ["Folder"]


class Folder:
    """A shelf of real files, as a run writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint(self, tensors: Contents) -> Kept:
        save(self.path, "job", Progress(step=2), tensors)
        found = verified(self.path, 2, "job", lambda _: None, None)
        assert found is not None
        return found

    def result(self, tensors: Mapping[str, torch.Tensor]) -> Read:
        file = self.path / "result.safetensors"
        write_tensors(file, tensors, {})
        return lambda: read_tensors(file)
