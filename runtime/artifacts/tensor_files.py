"""safetensors files with the same bytes in every process, and digests of what tensors hold.

The library writes metadata in the order of a hash table, which differs from process to process; a file that is to be
compared by digest needs a fixed order. Reading is left to the library.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file

from ftc.spec.storage import model_files as spec_digests
from ftc.spec.storage.atomic_write import naming
from ftc.spec.storage.native import LibraryFault, native
from ftc.spec.storage.reading import open_regular

__all__ = [
    "Form",
    "content_digest",
    "digest_of_tensor",
    "flattened",
    "read_tensors",
    "tensor_digests",
    "torch_dtype",
    "write_in_turn",
    "write_tensors",
]

T = TypeVar("T")
Form = tuple[torch.dtype, torch.Size]
"""Type and shape of a tensor."""

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _DTYPE_NAMES.items()}
_ALIGNMENT = 8


def torch_dtype(name: str) -> torch.dtype:
    """The type of numbers that safetensors calls so.

    Raises:
        OSError: It is none that ftc writes.
    """
    if name not in _DTYPES:
        raise OSError(errno.EINVAL, f"tensors of type {name} are unknown")
    return _DTYPES[name]


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file, one tensor after another, without a second copy of them all in memory."""
    forms = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    write_in_turn(path, forms, tensors.__getitem__, metadata)


def write_in_turn(
    path: Path, forms: Mapping[str, Form], tensor_of: Callable[[str], torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file whose tensors are made one by one, each when its turn comes.

    Args:
        path: The file.
        forms: Type and shape of each tensor, by name.
        tensor_of: Makes one of such a form; it is let go of before the next is asked for.
        metadata: What the header says beside them.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    names = sorted(forms, key=lambda name: (-forms[name][0].itemsize, name))  # keeps every tensor aligned
    end = 0
    for name in names:
        dtype, shape = forms[name]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with naming(path), path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for flat in flattened(tensor_of(name) for name in names):
            file.write(_bytes(flat))
            del flat  # before the next is made


def flattened(tensors: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Each tensor as one row of numbers in host memory, one at a time: what is made for it is freed."""
    for tensor in tensors:
        yield tensor.detach().to("cpu").contiguous().reshape(-1)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, in host memory.

    Raises:
        OSError: It can't be read, or is no safetensors file.
    """
    return _read(path, lambda: load_file(path))


def _read(path: Path, read: Callable[[], T]) -> T:
    open_regular(path).close()  # the library would wait forever for a pipe's end
    try:
        return native(read)
    except LibraryFault as fault:
        if isinstance(fault.cause, OSError | MemoryError):
            raise fault.cause from None
        raise OSError(f"{path.name}: {fault}") from fault.cause


def content_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, by sorted name: equal whenever two sets of weights are."""
    return spec_digests.content_digest({name: digest_of_tensor(tensor) for name, tensor in tensors.items()})


def tensor_digests(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """sha256 of each tensor's bytes, by name."""
    return {name: hashlib.sha256(_raw(tensor)).hexdigest() for name, tensor in tensors.items()}


def digest_of_tensor(tensor: torch.Tensor) -> spec_digests.TensorDigest:
    """What one tensor adds to `content_digest`."""
    sha256 = hashlib.sha256(_raw(tensor)).hexdigest()
    return spec_digests.TensorDigest(_DTYPE_NAMES[tensor.dtype], tuple(tensor.shape), sha256)


def _raw(tensor: torch.Tensor) -> memoryview:
    return _bytes(next(flattened([tensor])))


def _bytes(flat: torch.Tensor) -> memoryview:
    return memoryview(flat.view(torch.uint8).numpy().data)
