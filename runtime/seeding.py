"""Chance, made repeatable: every use of it draws from a stream that the plan names.

Nothing depends on how many numbers were drawn before. The weights that are new follow `Seeds.init`, the rows follow
`Seeds.order` and the epoch, the dropout of a step follows `Seeds.dropout` and the step; so a run that is resumed at
step 120 draws what the uninterrupted run drew there, and no generator's state has to be carried over.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ftc.spec.settings import DeviceSettings

__all__ = ["deterministic", "seed_everything", "stream_seed"]


def stream_seed(root: int, *place: int) -> int:
    """A 32-bit seed for one place of a named stream, such as a step; near places have unrelated seeds."""
    text = ",".join(map(str, (root, *place)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def seed_everything(seed: int) -> None:
    """Sets the generators of python, numpy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(seed)


@contextmanager
def deterministic(device: DeviceSettings) -> Iterator[None]:
    """Fixes kernels and threads while the block runs, and puts back what was there before."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; matrix products need it
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    # Determinism also fills every new tensor, for code that reads it unset; no code here does, and it costs time.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - a property of a module
    torch.set_num_threads(device.threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
