"""The tensor files of a checkpoint: each whole, or in parts that as many processes wrote.

A part is a safetensors file of its own, `optimizer-00002-of-00004.safetensors`. It holds some of the rows of each
tensor under the tensor's own name; its header says which, in the words of `torch.distributed.checkpoint`, so that torch
reads it without ftc. Rows in the order of their parts are the tensor's bytes, so its digest is the same however many
processes wrote it, and no list of tensors is needed beside the files.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.spec.storage.model_files import TensorDigest
from ftc.spec.storage.reading import open_regular

__all__ = [
    "OPTIMIZER",
    "STATE",
    "WEIGHTS",
    "StoredTensor",
    "files_in",
    "files_of",
    "part_name",
    "placement_header",
    "stored_digests",
    "stored_tensors",
]

WEIGHTS = "trainable.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"

_SUFFIX = ".safetensors"
_PLACES, _OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"
_MOST_HEADER = 100_000_000
"""Bytes of a header that the library reads."""
_CHUNK = 1 << 20
_MOST_THREADS = 8
_ENOUGH = 1 << 23
"""Bytes from which on a tensor is worth a thread."""


def part_name(file: str, number: int, count: int) -> str:
    """The name of a part of a file, counted from 1."""
    return f"{file.removesuffix(_SUFFIX)}-{number:05d}-of-{count:05d}{_SUFFIX}"


def files_in(folder: Path, file: str, names: Iterable[str]) -> list[Path]:
    """The paths of `files_of` in a folder."""
    return [folder / name for name in files_of(file, names)]


def files_of(file: str, names: Iterable[str]) -> list[str]:
    """The names that hold a file, whole or in parts in their order; none where any part is missing.

    Args:
        file: `WEIGHTS` or `OPTIMIZER`.
        names: What there is.
    """
    there = set(names)
    if file in there:
        return [file]
    pattern = re.compile(re.escape(file.removesuffix(_SUFFIX)) + r"-00001-of-(\d{5})" + re.escape(_SUFFIX))
    counts = [int(found[1]) for name in there if (found := pattern.fullmatch(name))]
    if len(counts) != 1:
        return []
    parts = [part_name(file, number, counts[0]) for number in range(1, counts[0] + 1)]
    return parts if there.issuperset(parts) else []


def placement_header(offsets: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """What a part's header says beside its tensors: where each begins in the whole one."""
    places = {name: {_OFFSETS: list(begin)} for name, begin in sorted(offsets.items())}
    return {"format": "pt", "DCP_VERSION": "1.0", _PLACES: json.dumps(places)}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as files hold it.

    Attributes:
        dtype: Name of the element type as safetensors has it, such as `F32`.
        shape: Of the whole tensor.
        segments: File, first byte and end of each part, in the order of its rows.
    """

    dtype: str
    shape: tuple[int, ...]
    segments: tuple[tuple[Path, int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(end - begin for _, begin, end in self.segments)


def stored_tensors(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """Every tensor of a file or of all its parts, from headers alone.

    Raises:
        OSError: A file can't be read.
        ValueError: One is no safetensors file, or parts don't make whole tensors.
    """
    found: dict[str, list[tuple[int, str, tuple[int, ...], tuple[Path, int, int]]]] = {}
    for path in files:
        start, header = _header(path)
        try:
            metadata = header.pop("__metadata__", {})
            places = json.loads(metadata.get(_PLACES, "{}"))
            for name, entry in header.items():
                begin, end = map(operator.index, entry["data_offsets"])
                if not 0 <= begin <= end:
                    raise ValueError(f"{path.name}: `{name}` begins at byte {begin} and ends at {end}")
                first, *others = (places[name][_OFFSETS] if name in places else None) or [0]
                if any(others):
                    raise ValueError(f"{path.name}: `{name}` is not divided by rows")
                segment = (path, start + begin, start + end)
                shape = tuple(map(operator.index, entry["shape"]))
                found.setdefault(name, []).append((operator.index(first), str(entry["dtype"]), shape, segment))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path.name} has no safetensors header") from error
    return {name: _joined(name, sorted(parts)) for name, parts in found.items()}


def _joined(name: str, parts: Sequence[tuple[int, str, tuple[int, ...], tuple[Path, int, int]]]) -> StoredTensor:
    _, dtype, shape, _ = parts[0]
    if len(parts) > 1 or shape:
        rows = 0
        for first, other, form, _ in parts:
            if (first, other, form[1:]) != (rows, dtype, shape[1:]):
                raise ValueError(f"the parts of `{name}` don't fit together")
            rows += form[0]
        shape = (rows, *shape[1:])
    return StoredTensor(dtype, shape, tuple(segment for *_, segment in parts))


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where a file's tensors begin, and its header."""
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(path.stat().st_size, _MOST_HEADER):
            raise ValueError(f"{path.name} has no safetensors header")
        try:
            header = json.loads(file.read(size))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path.name} has no safetensors header") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} has no safetensors header")
    return 8 + size, header


def stored_digests(files: Sequence[Path]) -> dict[str, TensorDigest]:
    """Digest of every tensor of a file or of all its parts, read piece by piece: memory never holds a whole tensor.

    Raises:
        OSError: A file can't be read.
        ValueError: One is no safetensors file, or parts don't make whole tensors.
    """
    tensors = stored_tensors(files)
    large = [name for name, one in tensors.items() if one.size >= _ENOUGH]
    digests = {name: _digest(one) for name, one in tensors.items() if one.size < _ENOUGH}
    with ThreadPoolExecutor(_MOST_THREADS) as pool:
        digests |= zip(large, pool.map(lambda name: _digest(tensors[name]), large), strict=True)
    return {name: TensorDigest(one.dtype, one.shape, digests[name]) for name, one in tensors.items()}


def _digest(tensor: StoredTensor) -> str:
    sha256 = hashlib.sha256()
    for path, begin, end in tensor.segments:
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            left = end - begin
            while left > 0 and (piece := file.read(min(left, _CHUNK))):
                sha256.update(piece)
                left -= len(piece)
    return sha256.hexdigest()
