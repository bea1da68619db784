"""Headers are believed only as far as the file's own size bears them out."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftc.compiler.resolve.models.weights import BrokenSafetensors, read_header
from tests.support.model_folder import safetensors_bytes


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin: Any, end: Any, shape: Any = (1,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.zeros((), np.int64),
        "c": np.zeros((0, 4), np.float16),
    }
    save_file(arrays, tmp_path / "x", metadata={"_target_": "os.system"})
    found = read_header(tmp_path / "x")
    assert {name: (facts.dtype, facts.shape) for name, facts in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("I64", ()),
        "c": ("F16", (0, 4)),
    }


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_length_that_looks_like_a_pickle_is_none(tmp_path: Path, length: int) -> None:
    text = json.dumps({"a": entry(0, 4)}).encode().ljust(length)
    (tmp_path / "x").write_bytes(file_of(text, b"\0" * 4))
    assert list(read_header(tmp_path / "x")) == ["a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"1234", "4 bytes"),
        (struct.pack("<Q", 2**62) + b"{}", "the format allows"),
        (struct.pack("<Q", 500) + b"{}", "but the file has"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\x80\x04\x95" + bytes(60), "pickle"),
        (b"GGUF" + bytes(60), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer"),
        (file_of(b"not json"), "not JSON"),
        (file_of(b"[" * 100_000), "not JSON"),
        (file_of([1]), "not a JSON object"),
        (file_of(b'{"a": 1, "a": 2}'), "twice"),
        (file_of({"a": 1}), "lacks"),
        (file_of({"a": entry(0, 4, dtype="PICKLE")}, bytes(4)), "unknown dtype"),
        (file_of({"a": entry(0, 4, shape=[-1])}, bytes(4)), "not a whole number"),
        (file_of({"a": entry(0, 4, shape=[True])}, bytes(4)), "not a whole number"),
        (file_of({"a": entry(0, 4.0)}, bytes(4)), "not a whole number"),
        (file_of({"a": entry(0, 8)}, bytes(8)), "needs 4 bytes"),
        (file_of({"a": entry(0, 4), "b": entry(0, 4)}, bytes(8)), "begins at byte 0"),
        (file_of({"a": entry(4, 8)}, bytes(8)), "begins at byte 4"),
        (file_of({"a": entry(0, 4)}, bytes(3)), "incomplete"),
        (file_of({"a": entry(0, 4)}, bytes(9)), "belong to no tensor"),
        (safetensors_bytes({"a": (100, 100)})[:-1], "incomplete"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BrokenSafetensors, match=reason):
        read_header(tmp_path / "x")
