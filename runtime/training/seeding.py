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
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.settings import Settings
from ftc.spec.storage.processes import unpinned

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
def deterministic(settings: Settings, *, threads: int | None = None) -> Iterator[None]:
    """Fixes kernels and threads while the block runs, and puts back what was there before.

    Args:
        settings: The plan's, which say what kernels may be used.
        threads: Threads inside an operation, instead of the plan's.

    Raises:
        Refusal: Every bit counts, and the environment is not what it has to be before Python starts.
    """
    kernels = settings.train.determinism.kernels
    if kernels == "exact" and (wrong := unpinned(os.environ)):
        raise Refusal([_unpinned(wrong)])
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; matrix products need it
    if kernels != "any":
        os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")  # torch's own switch doesn't reach that package
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(kernels != "any")
    # Determinism also fills every new tensor, for code that reads it unset; no code here does, and it costs time.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - a property of a module
    torch.set_num_threads(threads or settings.device.threads)
    try:
        with _exact_arithmetic() if kernels == "exact" else nullcontext():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])


@contextmanager
def _exact_arithmetic() -> Iterator[None]:
    """No kernel chosen by a stopwatch, and no sum or product in fewer bits than its type has."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    wanted: tuple[tuple[object, str, object], ...] = (
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
        (cudnn, "allow_tf32", False),
        (matmul, "allow_tf32", False),
        (matmul, "allow_bf16_reduced_precision_reduction", False),
        (matmul, "allow_fp16_reduced_precision_reduction", False),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _unpinned(wrong: dict[str, str]) -> Diagnostic:
    return diagnostic(
        "FTC641",
        "`train.determinism: bitwise` needs environment variables that are set before Python starts",
        notes=[f"{name} is {os.environ.get(name, 'not set')}, but must be {value}" for name, value in wrong.items()],
        help="use `ftc apply`, which sets them, or set them yourself",
        path="train.determinism",
    )
