"""Two processes under torchrun do the work of one, whether each holds the model whole or in parts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ftc.compiler.resolve.models.packed_files import packed_layers, packing_of
from ftc.compiler.resolve.models.weights import read_weights
from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.execution.accelerator import divide, wrap
from ftc.runtime.models.packed_layers import pack_layers
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.packed_weights import PackedWeights
from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job, reopen_job
from tests.support.packed_files import packed_copies

_ALONE: dict[str, Any] = {"train__batch_size": 4, "train__micro_batch": 1}
_SHARED = {**_ALONE, "train__world_size": 2, "device__count": 2}
_HSDP = {**_ALONE, "train__world_size": 4, "train__nodes": 2, "device__count": 2, "train__sharding": "hsdp"}
_DDP, _FSDP = {**_SHARED, "train__sharding": "ddp"}, {**_SHARED, "train__sharding": "fsdp"}
_STILL: dict[str, Any] = {"strategy__adapter__dropout": 0.0}
_SESSION = pytest.mark.skipif("FTC_SHARDING" not in os.environ, reason="has its own session: nox -s sharding")
_PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "fsdp-checkpointing": ("full", {"train__activation_checkpointing": True, "train__micro_batch": 2}),
    "fsdp-selective": ("full", {"train__activation_checkpointing": "selective", "train__micro_batch": 2}),
    "fsdp-offload": ("full", {"train__offload": "cpu"}),
    "fsdp-lora-half": ("lora", {**_STILL, "train__precision": "bfloat16"}),
    "fsdp-half-scaled": ("lora", {**_STILL, "train__precision": "float16"}),
    "fsdp-half-scaled-offload": ("lora", {**_STILL, "train__precision": "float16", "train__offload": "cpu"}),
    "fsdp-tokens": ("lora", {**_STILL, "train__micro_batch_tokens": 8}),
    "fsdp-chunks": ("full", {"train__loss_chunk_size": 2, "train__micro_batch": 2}),
    "fsdp-chunks-half": ("lora", {**_STILL, "train__loss_chunk_size": 2, "train__precision": "bfloat16"}),
    "fsdp-odd": ("lora", {**_STILL, "train__batch_size": 3}),
    "fsdp-average": ("full", {"train__ema_decay": 0.9, "train__micro_batch": 2}),
    "fsdp-average-offload": ("full", {"train__ema_decay": 0.9, "train__offload": "cpu"}),
    "fsdp-short": ("lora", {**_STILL, "train__batch_size": 1}),
}


def _job(
    name: str, strategy: str, changes: dict[str, Any], stop_at: int | None = None, kind: str = "llama"
) -> dict[str, Any]:
    plain = {"kind": kind, "classes": 0, "stop_at": stop_at}
    return {"name": name, "strategy": strategy, "changes": changes, **plain}


def _losses(job: Job, name: str) -> list[float]:
    events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
    return [float(event["loss"]) for event in events if event["kind"] == "step"]


def _record(job: Job, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(job.folder(name).record.read_text())
    return record


def _agree(job: Job, name: str, *, far: float = 1e-4, processes: int = 2) -> None:
    """The run of that name and `one` did the same, but for the order of sums."""
    ours, theirs = _record(job, "one"), _record(job, name)
    assert theirs["observed"]["world_size"] == processes
    machine = MachineClass.model_validate_json(json.dumps(theirs["observed"]["machine"])).digest()
    each = [(one["rank"], one["machine_sha256"]) for one in theirs["segments"][-1]["processes"]]
    assert each == [(rank, machine) for rank in range(processes)]
    assert "processes" not in ours["segments"][-1]
    assert theirs["initial_weights_sha256"] == ours["initial_weights_sha256"]
    assert theirs["supervised_tokens"] == ours["supervised_tokens"]
    assert _losses(job, name) == pytest.approx(_losses(job, "one"), rel=far)
    is_whole = (job.folder("one").path / "model").is_dir()
    saved = "model/model.safetensors" if is_whole else "adapter/adapter_model.safetensors"
    one, two = (read_tensors(job.folder(which).path / saved) for which in ("one", name))
    assert one.keys() == two.keys()
    assert max(float((one[tensor] - two[tensor]).abs().max()) for tensor in one) < far
    ours, theirs = (json.loads(job.folder(which).evaluation.read_text()) for which in ("one", name))
    assert float(theirs["tuned"]["metrics"]["loss"]) == pytest.approx(float(ours["tuned"]["metrics"]["loss"]), rel=far)


@pytest.mark.slow
def test_two_gloo_processes_equal_one(tmp_path: Path) -> None:
    lora = make_job(tmp_path, **_ALONE, **_STILL)
    lora.run("one")
    together(
        tmp_path,
        [
            _job("ddp", "lora", {**_DDP, **_STILL, "train__loss_chunk_size": 1}),
            _job("fsdp", "lora", {**_FSDP, **_STILL}),
            _job("stopped", "lora", {**_FSDP, **_STILL}, stop_at=8),
            _job("beside", "lora", {**_FSDP, **_STILL, "train__save_in_background": True}, stop_at=8),
        ],
    )
    for name, wrapper in {"ddp": "DistributedDataParallel", "fsdp": "FSDP2"}.items():
        assert _record(lora, name)["observed"]["wrapper"] == wrapper
        _agree(lora, name)
    kept = "final_weights_sha256"
    for name in ("stopped", "beside"):
        assert _record(lora, name)[kept] == _record(lora, "fsdp")[kept], "a resumed run gives the same bits"


def test_packed_layers_are_never_sent(tmp_path: Path) -> None:
    """They are buffers, and torch sends those before every step."""
    from torch import distributed

    packed = PackedWeights(layout="gptq", bits=4, group_size=None, modules=("q_proj",))
    model = nn.ModuleDict({"0": nn.ModuleDict({"q_proj": nn.Linear(8, 8)}), "norm": nn.BatchNorm1d(8)})
    pack_layers(model, packed)
    sent: list[Any] = []
    distributed.init_process_group("gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1)
    try:
        here: Any = type(
            "Here", (), {"num_processes": 2, "prepare_model": lambda self, one: DistributedDataParallel(one)}
        )()
        with patch.object(distributed, "_broadcast_coalesced", lambda group, tensors, *_: sent.append(tensors)):
            wrapped: Any = wrap(here, model)
            wrapped._pre_forward()
    finally:
        distributed.destroy_process_group()
    assert len(sent) == 2, "once all weights, and buffers before the step"
    assert {one.dtype for message in sent for one in message} == {torch.float32, torch.int64}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["gptq", "awq"])
def test_layers_that_stay_packed_are_held_whole_by_each(tmp_path: Path, layout: str) -> None:
    """As the model that they stand for, whose weights the first process sends to the others."""
    make_job(tmp_path)
    folder, _ = packed_copies(tmp_path / "model-llama", layout)
    kind = folder.name.removeprefix("model-")
    said = json.loads((folder / "config.json").read_text())["quantization_config"]
    method = said["quant_method"]
    _, held = packed_layers(read_weights(folder, folder).tensors, packing_of(said, method))
    packed = {**_DDP, **_STILL, "model__packed": held.model_dump(), "model__quantized_files": method}
    alone = {"train__world_size": 1, "device__count": 1, "train__sharding": "none"}
    one = reopen_job(tmp_path, kind, **{**packed, **alone})
    one.run("one")
    together(
        tmp_path,
        [
            _job("ddp", "lora", packed, kind=kind),
            _job("stopped", "lora", packed, stop_at=8, kind=kind),
            _job("whole", "lora", {**_DDP, **_STILL}, kind=f"{kind}_whole"),
        ],
    )
    assert _record(one, "ddp")["observed"]["wrapper"] == "DistributedDataParallel"
    _agree(one, "ddp")
    assert _losses(one, "ddp") == pytest.approx(_losses(one, "whole"), abs=1e-4)
    kept = "final_weights_sha256"
    assert _record(one, "stopped")[kept] == _record(one, "ddp")[kept], "a resumed run gives the same bits"


@pytest.mark.slow
def test_machines_hold_copies_of_a_model_that_is_divided_inside_each(tmp_path: Path) -> None:
    """Two machines of two processes. With 8 rows a step has two micro-batches, behind which machines meet once."""
    rows = {"train__batch_size": 8, "train__steps_per_epoch": 3, "train__num_steps": 6}
    lora = make_job(tmp_path, **_ALONE | rows, **_STILL)
    lora.run("one")
    changes = {**_HSDP, **_STILL, **rows}
    together(tmp_path, [_job("hsdp", "lora", changes), _job("stopped", "lora", changes, stop_at=4)], processes=4)
    assert _record(lora, "hsdp")["observed"]["wrapper"] == "FSDP2"
    _agree(lora, "hsdp", processes=4)
    kept = "final_weights_sha256"
    assert _record(lora, "stopped")[kept] == _record(lora, "hsdp")[kept], "a resumed run gives the same bits"


@pytest.mark.slow
def test_weights_in_16_bits_are_shared_whole_and_in_parts(tmp_path: Path) -> None:
    """Their sums of what rounding took are divided as they are, and put together again for checkpoints."""
    pytest.importorskip("optimi")
    narrow: dict[str, Any] = {
        "train__precision": "pure_bfloat16",
        "train__optimizer__kind": "adamw_kahan",
        "train__fused": False,
    }
    narrow |= {"train__optimizer__beta2": 0.99, "train__learning_rate": 1e-3}
    job = make_job(tmp_path, strategy="full", **_ALONE, **narrow)
    job.run("one")
    ways = {"ddp": _DDP, "fsdp": _FSDP}
    runs = [
        _job(f"{name}{stop or ''}", "full", {**way, **narrow}, stop) for name, way in ways.items() for stop in (None, 8)
    ]
    together(tmp_path, runs)
    for name in ways:
        _agree(job, name, far=1e-2)
        kept = "final_weights_sha256"
        assert _record(job, f"{name}8")[kept] == _record(job, name)[kept], "a resumed run gives the same bits"


def test_a_model_whose_layers_cannot_be_told_is_refused(tmp_path: Path) -> None:
    """ALBERT, MPNet and XLNet are built in a way of their own."""
    from accelerate import Accelerator

    job = make_job(tmp_path, **_FSDP)
    with pytest.raises(Refusal) as refused:
        divide(Accelerator(cpu=True), nn.Sequential(nn.Linear(2, 2)), job.plan.settings)
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC291", "train.sharding")
    assert found.notes == ("Sequential has 0 stacks of layers, not one or two",)


def test_another_wrapper_than_the_plans_is_told_with_its_cause() -> None:
    """accelerate goes by variables of its own, too."""
    told: Any = type("Told", (), {"num_processes": 2, "prepare_model": lambda self, model: model})()
    with pytest.raises(Refusal) as refused:
        wrap(told, nn.Linear(2, 2))
    (found,) = refused.value.diagnostics
    assert (found.code, found.summary) == ("FTC624", "wrapper: DistributedDataParallel in the plan, Linear here")
    assert "ACCELERATE_" in found.help[0]


@_SESSION
def test_everything_that_is_divided_can_be_whole_again(tmp_path: Path) -> None:
    full = make_job(tmp_path, "llama", "full", **_ALONE)
    full.run("one")
    together(tmp_path, [_job("fsdp", "full", _FSDP), _job("stopped", "full", _FSDP, stop_at=8)])
    _agree(full, "fsdp")
    kept = "final_weights_sha256"
    assert _record(full, "stopped")[kept] == _record(full, "fsdp")[kept]


@_SESSION
@pytest.mark.parametrize("name", _PARTS)
def test_ways_of_training_in_parts(tmp_path: Path, name: str) -> None:
    strategy, changes = _PARTS[name]
    alone = {key: value for key, value in changes.items() if key not in ("train__offload", "train__loss_chunk_size")}
    job = make_job(tmp_path, "llama", strategy, **{**_ALONE, **alone})
    job.run("one")
    together(tmp_path, [_job(name, strategy, {**_FSDP, **changes})])
    _agree(job, name, far=1e-2 if "half" in name else 1e-4)
