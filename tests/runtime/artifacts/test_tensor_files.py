"""Our writer, read by the library; digests of content."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors, write_tensors
from ftc.spec.storage.checkpoint_tensors import stored_tensors


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "b": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "a": torch.ones(3, dtype=torch.bfloat16),
        "odd": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "empty": torch.zeros(0, 4),
        "one": torch.tensor(3.0),
        "turned": torch.arange(6, dtype=torch.int64).reshape(2, 3).T,
    }


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write_tensors(file, _tensors(), {"z": "1", "format": "pt"})
    read = read_tensors(file)
    assert read.keys() == _tensors().keys()
    assert {name: one.shape for name, one in stored_tensors([file]).items()} == {
        name: tuple(tensor.shape) for name, tensor in _tensors().items()
    }
    for name, tensor in _tensors().items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {"z": "1", "format": "pt"}


def test_order_does_not_matter_and_content_does(tmp_path: Path) -> None:
    tensors = _tensors()
    turned = dict(reversed(tensors.items()))
    for name, content in (("x", tensors), ("y", turned)):
        write_tensors(tmp_path / name, content, {"a": "1", "b": "2"})
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert content_digest(tensors) == content_digest(turned)
    changed = {**tensors, "one": torch.tensor(4.0)}
    renamed = {("two" if name == "one" else name): tensor for name, tensor in tensors.items()}
    reshaped = {**tensors, "b": tensors["b"].reshape(3, 2)}
    assert len({content_digest(one) for one in (tensors, changed, renamed, reshaped)}) == 4


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x08\0\0\0\0\0\0\0" + b"{" * 8])
def test_what_is_no_such_file_can_not_be_read(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"x\.safetensors: "):
        read_tensors(file)
    with pytest.raises(ValueError, match=r"x\.safetensors has no safetensors header"):
        stored_tensors([file])
