"""One digest for a set of weights, the same in the compiler, which reads files, and in the runtime, which has tensors.

It is over each tensor's name, type, shape and own sha256, by sorted name. So it depends on what the weights are and not
on files: shards, the order of tensors in a file and the header's remarks don't reach it, and each tensor can be hashed
by a thread of its own and named when it differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftc.spec import canonical

__all__ = ["TensorDigest", "content_digest", "header_digest"]


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """One tensor.

    Attributes:
        dtype: Name of the element type as safetensors has it, such as `F32`.
        shape: Sizes, outermost first.
        sha256: sha256 of the elements' bytes, little-endian, in row-major order.
    """

    dtype: str
    shape: Sequence[int]
    sha256: str


def content_digest(tensors: Mapping[str, TensorDigest]) -> str:
    """sha256 over all tensors: equal whenever two sets of weights are."""
    return canonical.digest([[name, one.dtype, list(one.shape), one.sha256] for name, one in sorted(tensors.items())])


def header_digest(tensors: Mapping[str, TensorDigest]) -> str:
    """sha256 over names, types and shapes alone."""
    return canonical.digest([[name, one.dtype, list(one.shape)] for name, one in sorted(tensors.items())])
