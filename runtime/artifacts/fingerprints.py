"""Digests of what goes into a training step: its batches, and the states of random generators."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from array import array
from typing import Any

import numpy as np
import torch

from ftc.runtime.arrays import ArrayDigest

__all__ = ["BatchDigest", "chance_digest"]


class BatchDigest(ArrayDigest):
    """Digest of everything that one step feeds to the model in this process, as it is fed, taken of its tensors."""

    def add(self, numbers: list[int], batch: Any) -> None:
        """Adds one micro-batch.

        Args:
            numbers: Numbers of its rows in the source.
            batch: A dataclass whose tensors lie in host memory.
        """
        fields = ((field.name, getattr(batch, field.name)) for field in dataclasses.fields(batch))
        self.add_arrays(numbers, ((name, one.numpy()) for name, one in fields if isinstance(one, torch.Tensor)))


def chance_digest() -> str:
    """Digest of the states of the generators that libraries draw from: python's, numpy's, torch's on every device."""
    sha256 = hashlib.sha256(array("Q", random.getstate()[1]))
    kind, keys, position, *_ = np.random.get_state()  # noqa: NPY002 - the global one is what libraries use
    sha256.update(f"{kind} {position}".encode())
    sha256.update(np.ascontiguousarray(keys).data)
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    for state in states:
        sha256.update(state.numpy().data)
    return sha256.hexdigest()
