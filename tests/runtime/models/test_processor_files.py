"""The files of an image processor: ftc reads those that transformers reads, and what fails in them is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.models.image_processor import processor_findings, sized
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.tokens.stream_writer import write_images
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.stream_images import IMAGES_FILE
from tests.runtime.models.test_image_rows import pictures, sha_of
from tests.support.image_processors import PROCESSORS
from tests.support.vision_settings import tiny_vision

torch = pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("is_nested", [False, True])
def test_the_file_counts_that_transformers_reads(
    is_nested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor for several kinds of inputs comes before a file for images alone, where it speaks of images."""
    from ftc.runtime.models.pixels import load_processor

    their = PROCESSORS["smolvlm"](tmp_path, monkeypatch)
    file = tmp_path / "preprocessor_config.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**said, "do_image_splitting": False}), encoding="utf-8")
    several: dict[str, Any] = {"image_processor": said} if is_nested else {"image_seq_len": 4}
    (tmp_path / "processor_config.json").write_text(json.dumps(several), encoding="utf-8")
    vision = sized(read_config(their.config).vision, tmp_path)
    assert vision is not None
    made = load_processor(tmp_path)(images=[image_module.new("RGB", (84, 60))], return_tensors="np")
    assert made["pixel_values"].shape[1] == vision.features(84, 60).tokens // 4 == (10 if is_nested else 1)
    found = list(processor_findings(tmp_path, vision, None))
    assert [one.code for one in found] == (["FTC128"] if is_nested else [])
    assert all("different things" in one.summary for one in found)


def test_a_file_for_other_inputs_alone_is_no_image_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTC128, where transformers finds none either."""
    their = PROCESSORS["gemma3"](tmp_path, monkeypatch)
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "processor_config.json")
    (found,) = processor_findings(tmp_path, read_config(their.config).vision, None)
    assert (found.code, "has no" in found.summary) == ("FTC128", True)


def test_a_processor_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTC414: images of several sizes don't make one tensor."""
    from ftc.runtime.models.pixels import FolderPixels

    their = PROCESSORS["gemma3"](tmp_path, monkeypatch)
    (tmp_path / "config.json").write_text(json.dumps(dict(their.config)), encoding="utf-8")
    files = pictures(tmp_path)
    write_images(tmp_path / IMAGES_FILE, ((sha_of(file), file.read_bytes()) for file in files))
    config = tmp_path / "preprocessor_config.json"
    said = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**said, "do_resize": False}), encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        FolderPixels(tmp_path, tmp_path, {}).of([sha_of(file) for file in files])
    assert [found.code for found in refused.value.diagnostics] == ["FTC414"]


@pytest.mark.parametrize("kind", ["gemma3", "qwen2_vl", "smolvlm"])
def test_a_batch_without_images_has_the_marks_that_its_model_asks_for(kind: str) -> None:
    """Some releases of transformers train a Gemma 3 with types of tokens alone, where nothing is an image as well."""
    from ftc.runtime.models.pixels import image_inputs

    found = image_inputs(tiny_vision(kind, 4), torch.tensor([[1, 2, 3]]), None, None)
    marks = {"token_type_ids": [[0, 0, 0]]} if kind == "gemma3" else {}
    assert {name: one.tolist() for name, one in found.items()} == marks
