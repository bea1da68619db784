"""Weights that are rounded in training: the steps of a plain loop with torchao, memory by trace, resumes, processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization
from transformers import AutoModelForCausalLM

from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.streams import open_stream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.runtime.test_resume import assert_same, run_killed
from tests.support.grid import GRID, by_both, grid_facts
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

pytest.importorskip("torchao")

INT4: dict[str, Any] = {"weights": "int4", "group_size": 16, "num_modules": 14}
INT8: dict[str, Any] = {"weights": "int8", "group_size": None, "num_modules": 14}


def by_hand(job: Job, steps: int) -> Iterator[tuple[float, nn.Module]]:
    """(loss, model) of training by torch, transformers and torchao alone, on the job's batches."""
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    settings = job.plan.settings
    train, rows, asked = settings.train, open_stream(job.inputs.streams_folder / "train.arrow"), INT4
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, settings.seeds.order)
    model = AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, attn_implementation="sdpa")
    number: Any = getattr(torch, "int4")  # noqa: B009 - torch's stubs lack it
    config = IntxFakeQuantizeConfig(number, group_size=asked["group_size"])
    in_layers = [name for name, one in model.named_modules() if isinstance(one, nn.Linear) and ".layers." in name]
    quantize_(model, QATConfig(weight_config=config, step="prepare"), filter_fn=lambda _, name: name in in_layers)
    assert len(in_layers) == asked["num_modules"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=train.learning_rate, weight_decay=0.0)
    source = StreamRows(rows, order)
    for step in range(steps):
        fed = source.at(step)
        targets = sum(int(rows.mask(row).sum()) for row in fed.numbers)
        total = 0.0
        for piece in fed.micro_batches(train.micro_batch, 0, 1):
            for row in piece:
                ids, mask = torch.tensor(rows.ids(row)), torch.tensor(rows.mask(row))
                logits = model(input_ids=ids[None].long()).logits[0, :-1]
                loss = nn.functional.cross_entropy(logits[mask[1:] > 0], ids[1:][mask[1:] > 0].long(), reduction="sum")
                (loss / targets).backward()
                total += float(loss.detach()) / targets
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        yield total, model


@pytest.mark.slow
def test_ten_steps_are_those_of_a_loop_by_hand(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", train__quantize_aware=INT4, train__learning_rate=1e-3)
    plain = make_job(tmp_path / "plain", strategy="full", train__learning_rate=1e-3)
    record, _ = job.run(), plain.run()
    found = [step.loss for step in job.of_kind("step")]
    losses, model = [], nn.Module()
    for loss, model in by_hand(job, len(found)):  # noqa: B007 - the last one is compared
        losses.append(loss)
    assert record.is_finished
    assert found[0] == pytest.approx(losses[0], abs=1e-4)
    assert found == pytest.approx(losses, abs=0.015), (
        "rounding can turn the last bit of a weight into a step of a scale"
    )
    assert abs(found[0] - plain.of_kind("step")[0].loss) > 3e-4
    theirs = dict(model.named_parameters())
    mine = read_tensors(job.folder().checkpoints / "step-00000012" / "trainable.safetensors")
    assert mine.keys() == theirs.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "strategy", "classes", "asked"),
    [("llama", "full", 0, INT4), ("llama", "lora", 0, INT4), ("bert", "full", 3, {**INT8, "num_modules": 12})],
)
def test_a_killed_run_goes_on_with_the_same_bits(
    tmp_path: Path, kind: str, strategy: str, classes: int, asked: dict[str, Any]
) -> None:
    job = make_job(tmp_path, kind, strategy, classes=classes, train__quantize_aware=asked)
    whole = job.run("whole")
    run_killed(job, "killed", "step", 8)
    assert_same(job, "killed", whole)


def test_a_model_with_other_layers_than_the_plans_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", train__quantize_aware={**INT4, "num_modules": 13})
    with pytest.raises(Refusal) as refused:
        build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    assert [one.code for one in refused.value.diagnostics] == ["FTC625"]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize(("strategy", "asked"), [("full", INT4), ("full", INT8), ("lora", INT4)])
def test_the_trace_counts_rounding_as_a_real_step_does(
    strategy: str, asked: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    write_tiny_model(tmp_path / "model", "llama")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    shape = BatchShape(length=20, supervised=7, padded=False)
    usual: dict[str, Any] = {"device": PROCESSOR, "shape": shape, "num_modules": 4, "train__precision": precision}
    plain, job = (trace_job(config, strategy, **usual, train__quantize_aware=one) for one in (None, asked))
    assert plain.key() != job.key()
    groups = whole_groups((2,))
    before, found = (peaks(log_of(one, (2,), groups)) for one in (plain, job))
    assert found["backward: layers"].size > before["backward: layers"].size
    model = build_model(job.settings, FolderBase(tmp_path / "model"), torch.device("cpu"))
    real = peaks(run_steps(job, model, groups, torch.device("cpu"), Folder(tmp_path / "kept")))
    names = real.keys() - OF_THE_HOST
    assert {name: found[name].size - real[name].size for name in names} == dict.fromkeys(names, 0)


@pytest.mark.slow
def test_the_closed_form_comes_close_to_the_trace() -> None:
    facts, more = grid_facts(GRID["BERT-base"]), {"quantize_aware": {"weights": "int4"}}
    for strategy in ({"kind": "full"}, {"kind": "lora", "rank": 16}):
        form, traced = by_both(facts, strategy, **more)
        assert form == pytest.approx(traced, rel=0.05)
    form, _ = by_both(facts, {"kind": "full"}, **more)
    plain, _ = by_both(facts, {"kind": "full"})
    assert 4 * 84e6 < form - plain < 4 * 93e6, "four bytes for each weight of the layers, and one layer in passing"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_two_processes_that_share_the_model_do_the_work_of_one(tmp_path: Path, strategy: str) -> None:
    alone: dict[str, Any] = {"train__batch_size": 4, "train__micro_batch": 1, "train__quantize_aware": INT4}
    job = make_job(tmp_path, strategy=strategy, **alone)
    job.run("one")
    shared = {**alone, "train__world_size": 2, "device__count": 2, "train__sharding": "fsdp"}
    run = {"name": "two", "strategy": strategy, "changes": shared, "kind": "llama", "classes": 0, "stop_at": None}
    together(tmp_path, [run])
    losses = []
    for name in ("one", "two"):
        events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
        losses.append([float(event["loss"]) for event in events if event["kind"] == "step"])
    assert losses[1][0] == pytest.approx(losses[0][0], abs=1e-4)
    assert losses[1] == pytest.approx(losses[0], abs=0.03), "another order of sums rounds some weights otherwise"


class _Sum(nn.Module):
    """A weight that torchao rounds together with what two matrices add to it, if there are any."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor, scale: float) -> None:
        from torchao.quantization.qat import IntxFakeQuantizeConfig
        from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer

        super().__init__()
        self.first, self.second, self.scale = nn.Parameter(first), nn.Parameter(second), scale
        number: Any = getattr(torch, "int4")  # noqa: B009 - torch's stubs lack it
        self.rounded = IntxFakeQuantizer(IntxFakeQuantizeConfig(number, group_size=INT4["group_size"]))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.rounded(weight + self.scale * self.second @ self.first))


@pytest.mark.slow
def test_beside_an_adapter_the_sum_of_weights_and_adapter_is_rounded(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="lora", train__quantize_aware=INT4, train__learning_rate=5e-3)
    record = job.run()
    found = [step.loss for step in job.of_kind("step")]
    assert record.is_finished
    settings = job.plan.settings
    began: Any = build_model(settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    adapted = {
        name.removeprefix("base_model.model."): one for name, one in began.named_modules() if hasattr(one, "lora_A")
    }
    assert 0 < len(adapted) < INT4["num_modules"]
    model = AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, attn_implementation="sdpa")
    model.requires_grad_(False)
    learned: list[nn.Parameter] = []
    in_layers = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear) and ".layers." in name}
    for name, layer in in_layers.items():
        if (one := adapted.get(name)) is not None:
            first, second = (part["default"].weight.detach().clone() for part in (one.lora_A, one.lora_B))
            rounding = _Sum(first, second, one.scaling["default"])
            learned += [rounding.first, rounding.second]
        else:
            rounding = _Sum(torch.zeros(1, layer.in_features), torch.zeros(layer.out_features, 1), 1.0)
            rounding.requires_grad_(False)
        register_parametrization(layer, "weight", rounding)
    train, rows = settings.train, open_stream(job.inputs.streams_folder / "train.arrow")
    source = StreamRows(rows, BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, settings.seeds.order))
    optimizer, losses = torch.optim.AdamW(learned, lr=train.learning_rate, weight_decay=0.0), []
    for step in range(len(found)):
        fed, total = source.at(step), 0.0
        targets = sum(int(rows.mask(row).sum()) for row in fed.numbers)
        for row in fed.numbers:
            ids, mask = torch.tensor(rows.ids(row)), torch.tensor(rows.mask(row))
            logits = model(input_ids=ids[None].long()).logits[0, :-1]
            loss = nn.functional.cross_entropy(logits[mask[1:] > 0], ids[1:][mask[1:] > 0].long(), reduction="sum")
            (loss / targets).backward()
            total += float(loss.detach()) / targets
        nn.utils.clip_grad_norm_(learned, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    assert found[0] == pytest.approx(losses[0], abs=1e-4)
    assert found == pytest.approx(losses, abs=0.015)
