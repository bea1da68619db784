"""One process reads a model that is divided; the others build the same one from its configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ftc.runtime.models import build_model as rank0_loading
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import ShapesBase, build_model, build_once
from ftc.runtime.models.sharding import description
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.settings import Settings
from tests.runtime.jobs import make_job
from tests.support.quantized_files import quantized_copies

_HALF = {"train__precision": "bfloat16"}
_T5 = {
    "model__family": "encoder_decoder",
    "strategy__adapter__targets": ("q", "v"),
    "strategy__adapter__num_modules": 12,
}
_BART = {**_T5, "strategy__adapter__targets": ("q_proj", "v_proj")}
_INIT = "strategy__adapter__init"
_MODELS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "llama": ("llama", "full", 0, {}),
    "llama-half": ("llama", "lora", 0, {**_HALF, "train__activation_checkpointing": True}),
    "llama-classes": ("llama", "lora", 3, {}),
    "llama-dora": ("llama", "lora", 0, {"strategy__adapter__dora": True, "train__neftune_alpha": 5.0}),
    "llama-pissa": ("llama", "lora", 0, {_INIT: "pissa"}),
    "llama-olora": ("llama", "lora", 0, {_INIT: "olora"}),
    "qwen2": ("qwen2", "full", 0, _HALF),
    "gemma2": ("gemma2", "lora", 0, {"model__attention": "eager"}),
    "gpt2": ("gpt2", "lora", 0, _HALF),
    "bert": ("bert", "lora", 3, {}),
    "t5": ("t5", "lora", 0, {**_T5, **_HALF}),
    "bart": ("bart", "lora", 0, _BART),
}


class Process:
    """One of several processes, as far as building a model goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_first: bool, told: Any = None) -> None:
        self.is_main_process, self.told = is_first, told
        monkeypatch.setattr(rank0_loading, "agreed", self._agreed)

    def _agreed(self, _: Any, look: Callable[[], Any]) -> Any:
        self.told = look() if self.is_main_process else self.told
        return self.told


def apart(settings: Settings, folder: Path) -> nn.Module:
    with torch.device("meta"):
        return build_model(settings, ShapesBase(folder), torch.device("meta"))


@pytest.mark.parametrize("name", _MODELS)
def test_shapes_alone_give_the_same_model(tmp_path: Path, name: str) -> None:
    kind, strategy, classes, changes = _MODELS[name]
    job = make_job(tmp_path, kind, strategy, classes=classes, train__sharding="fsdp", **changes)
    whole = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    without = apart(job.plan.settings, job.inputs.model_folder)
    assert description(without) == description(whole)
    assert all(one.is_meta for one in without.parameters())
    assert [type(one) for one in without.modules()] == [type(one) for one in whole.modules()]


def test_shapes_alone_give_the_model_of_quantized_files(tmp_path: Path) -> None:
    job = make_job(tmp_path, "llama", "full", train__sharding="fsdp")
    folder, _ = quantized_copies(job.inputs.model_folder, "fp8")
    whole = build_model(job.plan.settings, FolderBase(folder), torch.device("cpu"))
    without = apart(job.plan.settings, folder)
    assert description(without) == description(whole)
    assert [type(one) for one in without.modules()] == [type(one) for one in whole.modules()]


def test_a_process_that_was_told_of_the_same_model_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, train__sharding="fsdp")
    settings, folder = job.plan.settings, job.inputs.model_folder
    first = Process(monkeypatch, is_first=True)
    whole = build_once(first, settings, folder)
    assert not any(one.is_meta for one in whole.parameters())
    (folder / "model.safetensors").unlink()
    other = build_once(Process(monkeypatch, is_first=False, told=first.told), settings, folder)
    assert all(one.is_meta for one in other.parameters())


def test_a_process_that_builds_another_model_reads_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, train__sharding="fsdp")
    told: dict[str, Any] = {"tensors": [], "configurations": []}
    process = Process(monkeypatch, is_first=False, told=told)
    other = build_once(process, job.plan.settings, job.inputs.model_folder)
    assert not any(one.is_meta for one in other.parameters())


def test_a_process_that_cannot_build_it_on_shapes_reads_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks(*_: Any) -> Any:
        return torch.ones(1, device="meta").item()

    job = make_job(tmp_path, train__sharding="fsdp")
    settings, folder = job.plan.settings, job.inputs.model_folder
    told = description(build_model(settings, FolderBase(folder), torch.device("cpu")))
    for fault in (looks, lambda *_: None.missing):  # type: ignore[attr-defined]
        monkeypatch.setattr(ShapesBase, "load", fault)
        other = build_once(Process(monkeypatch, is_first=False, told=told), settings, folder)
        assert description(other) == told
        assert not any(one.is_meta for one in other.parameters())


def test_what_the_first_process_cannot_read_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, train__sharding="fsdp")
    settings, folder = job.plan.settings, job.inputs.model_folder
    (folder / "model.safetensors").unlink()
    first = Process(monkeypatch, is_first=True)
    with pytest.raises(Refusal) as refused:
        build_once(first, settings, folder)
    other = Process(monkeypatch, is_first=False, told=copy.deepcopy(first.told))
    with pytest.raises(Refusal) as told:
        build_once(other, settings, folder)
    assert told.value.diagnostics == refused.value.diagnostics
    assert [one.code for one in told.value.diagnostics] == ["FTC635"]
