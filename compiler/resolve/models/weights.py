"""Weight files of a model folder: names, types and shapes of their tensors, from the safetensors headers alone.

The format: eight bytes of little-endian header length, a JSON header, then the data. Every figure in the header is
checked against the file's size before it is believed. Source: the safetensors format description.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, read_json_object, safe_path
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.model_files import INDEX_FILE, SINGLE_FILE
from ftc.spec.storage.reading import open_regular

__all__ = [
    "BITS",
    "BrokenSafetensors",
    "TensorRange",
    "Weights",
    "read_header",
    "read_metadata",
    "read_ranges",
    "read_weights",
    "shard_names",
]

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"U16": 16, "I16": 16, "F16": 16, "BF16": 16},
    **{"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64},
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}
"""Bits of an element, by safetensors' name of its type."""
_BEGINNING = b"\0\0\0\0{"
"""What follows the low half of a header's length: the high half, which no allowed length needs, and the header."""
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive, as PyTorch's `.bin` and `.pt` files are"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the weights themselves"),
)


class BrokenSafetensors(ValueError):
    """A file that is no whole safetensors file; the message says why. `other_format` names what it is instead."""

    def __init__(self, reason: str, other_format: str | None = None) -> None:
        self.other_format = other_format
        super().__init__(reason)


class TensorRange(NamedTuple):
    """Where a tensor's bytes lie in its file: from `begin` up to `end`, counted from the file's first byte."""

    facts: TensorFacts
    begin: int
    end: int


def read_header(file: Path) -> dict[str, TensorFacts]:
    """Tensors of one file by name. The file's metadata is ignored: nothing may be steered through it.

    Raises:
        BrokenSafetensors: The file is cut off, another format, or its header contradicts itself or the file's size.
        OSError: The file can't be read.
    """
    return {name: tensor.facts for name, tensor in read_ranges(file).items()}


def read_ranges(file: Path) -> dict[str, TensorRange]:
    """The same with the place of each tensor's bytes.

    Raises:
        BrokenSafetensors: As for `read_header`.
        OSError: The file can't be read.
    """
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(32)
        # A header of 896 bytes has a length that looks like a pickle's first bytes.
        magics = () if start[4:9] == _BEGINNING else _OTHER_FORMATS
        if other := next((name for magic, name in magics if start.startswith(magic)), None):
            raise BrokenSafetensors(f"the content is {other}", other_format=other)
        if len(start) < 8:
            raise BrokenSafetensors(f"the file has {size} bytes, fewer than the eight of the header's length")
        (length,) = struct.unpack("<Q", start[:8])
        if length > _MAX_HEADER_BYTES:
            raise BrokenSafetensors(f"the header claims {length} bytes; the format allows {_MAX_HEADER_BYTES}")
        if 8 + length > size:
            raise BrokenSafetensors(f"the header claims {length} bytes, but the file has only {size}")
        stream.seek(8)
        text = stream.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise BrokenSafetensors(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise BrokenSafetensors("the header is not a JSON object")
    header.pop("__metadata__", None)
    tensors: dict[str, TensorRange] = {}
    for name, entry in header.items():
        dtype, shape, begin, end = _entry(name, entry)
        facts = TensorFacts(dtype=dtype, shape=shape)
        tensors[name] = TensorRange(facts, 8 + length + begin, 8 + length + end)
        needed_bytes = (facts.num_elements * BITS[dtype] + 7) // 8
        if end - begin != needed_bytes:
            raise BrokenSafetensors(f"tensor `{name}` needs {needed_bytes} bytes, its offsets give {end - begin}")
    _check_layout(tensors, 8 + length, size)
    return tensors


def _check_layout(tensors: Mapping[str, TensorRange], start: int, size: int) -> None:
    """Tensors follow one another without overlap or hole and fill the file, as the format demands."""
    position = start
    for name, place in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin != position:
            raise BrokenSafetensors(f"tensor `{name}` begins at byte {place.begin - start}, not at {position - start}")
        position = place.end
    if position > size:
        raise BrokenSafetensors(f"incomplete: the tensors need {position - start} bytes, the file has {size - start}")
    if position < size:
        raise BrokenSafetensors(f"the last {size - position} bytes belong to no tensor")


def read_metadata(file: Path) -> dict[str, str]:
    """What a file says of itself beside its tensors. A claim, to be shown and compared, and never acted upon.

    Raises:
        BrokenSafetensors: As for `read_header`.
        OSError: The file can't be read.
    """
    read_ranges(file)
    with open_regular(file) as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        found = json.loads(stream.read(length)).get("__metadata__") or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise BrokenSafetensors("its metadata is not a mapping of texts")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("it contains a name twice")
    return result


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise BrokenSafetensors(f"tensor `{name}` lacks dtype, shape or offsets") from None
    numbers = (*shape, begin, end)
    if (
        not isinstance(dtype, str)
        or dtype not in BITS
        or not all(type(number) is int and 0 <= number < 2**63 for number in numbers)
    ):
        raise BrokenSafetensors(f"tensor `{name}` has an unknown dtype, or a size that is not a whole number")
    return dtype, shape, begin, end


_PATH = "model.base"
_OTHER_SUFFIXES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.pkl")
_CONVERT = (
    "convert the weights to safetensors on a machine where you trust them: "
    "`AutoModel.from_pretrained(...).save_pretrained(...)` writes `model.safetensors`"
)


class Weights(NamedTuple):
    """Weight files by name, index included, every tensor in them, and which layers stay packed in memory."""

    files: tuple[str, ...]
    tensors: dict[str, TensorFacts]
    packed: PackedWeights | None = None


def read_weights(folder: Path, root: Path, span: Span | None = None) -> Weights:
    """Weights of a model folder. `root` is how far links may lead: the project, or the hub's cache.

    Raises:
        Refusal: FTC300, FTC302, FTC303, FTC304, FTC305 or FTC311, all that apply.
    """
    if (folder / SINGLE_FILE).is_file():
        return Weights((SINGLE_FILE,), _read_files(folder, root, (SINGLE_FILE,), span)[SINGLE_FILE])
    if not (folder / INDEX_FILE).is_file():
        if others := sorted(file.name for pattern in _OTHER_SUFFIXES for file in folder.glob(pattern)):
            summary = f"the model's weights are in a format that ftc doesn't open: `{others[0]}`"
            raise Refusal([diagnostic("FTC303", summary, span, help=_CONVERT, path=_PATH)])
        help = f"use a folder with `{SINGLE_FILE}`, or with `{INDEX_FILE}` and the files that it names"
        raise Refusal([diagnostic("FTC302", "the model's folder has no weights", span, help=help, path=_PATH)])
    index = read_json_object(folder / INDEX_FILE, span)
    shards = shard_names(index, span)
    stored = _read_files(folder, root, shards, span)
    tensors = {name: facts for shard in stored.values() for name, facts in shard.items()}
    if wrong := [name for name, shard in index["weight_map"].items() if name not in stored[shard]]:
        raise Refusal([_bad_index(f"tensor `{wrong[0]}` is not in the file that the index names for it", span)])
    if len(tensors) != sum(map(len, stored.values())):
        raise Refusal([_bad_index("a tensor is in two files", span)])
    return Weights((INDEX_FILE, *shards), tensors)


def shard_names(index: Mapping[str, Any], span: Span | None) -> tuple[str, ...]:
    """Names of the files that an index lists, sorted; each is a plain name of a safetensors file.

    Raises:
        Refusal: FTC305, the index is malformed; FTC319, a name would leave the folder.
    """
    names = index.get("weight_map")
    if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
        raise Refusal([_bad_index("it has no `weight_map` of tensor names to file names", span)])
    shards = tuple(sorted(set(names.values())))
    for shard in shards:
        if "/" in shard or "\\" in shard or not shard.endswith(".safetensors") or shard.startswith("."):
            summary = f"the model's index names a file outside its folder: {quoted(shard)}"
            help = "don't use this model: its index would make loaders read or overwrite other files"
            raise Refusal([diagnostic("FTC319", summary, span, help=help, path=_PATH)])
    return shards


def _read_files(
    folder: Path, root: Path, names: tuple[str, ...], span: Span | None
) -> dict[str, dict[str, TensorFacts]]:
    stored, found = {}, []
    for name in names:
        try:
            stored[name] = read_header(safe_path(root, name, folder))
        except UnsafePath as error:
            found.append(error.diagnostic(span, _PATH))
        except FileNotFoundError:
            found.append(_bad_index(f"`{name}` is not in the model's folder", span))
        except BrokenSafetensors as error:
            summary, help = f"`{name}` of the model is damaged", "download the file again"
            if error.other_format:
                summary = f"`{name}` is not a safetensors file"
                help = "run `git lfs pull` in the model's folder" if "LFS" in error.other_format else _CONVERT
            found.append(diagnostic("FTC304", summary, span, notes=str(error), help=help, path=_PATH))
        except OSError as error:
            summary, help = f"`{name}` of the model can't be read", "check the file's permissions"
            found.append(diagnostic("FTC311", summary, span, notes=str(error), help=help, path=_PATH))
    if found:
        raise Refusal(found)
    return stored


def _bad_index(reason: str, span: Span | None) -> Diagnostic:
    help = "download the model again; every file that the index names must be in its folder"
    return diagnostic(
        "FTC305", "the model's weight files are incomplete", span, notes=reason, help=help, path="model.base"
    )
