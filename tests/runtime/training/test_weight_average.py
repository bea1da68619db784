"""The average of the trained weights: its formula; runs measure, keep and resume it, and train as without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.training.optimizers import evaluating, state_tensors
from ftc.runtime.training.weight_average import WeightAverage, decay_at
from ftc.spec.documents.memory_trace import BatchShape
from tests.runtime.jobs import Job, make_job
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.runtime.test_resume import assert_same, run_killed
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job


def test_ten_steps_are_the_formula_and_training_does_not_see_the_average() -> None:
    parameters = {"w": torch.nn.Parameter(torch.ones(4, 4)), "b": torch.nn.Parameter(torch.ones(3))}
    alone = {name: torch.nn.Parameter(one.detach().clone()) for name, one in parameters.items()}
    optimizer, plain = (torch.optim.AdamW(held.values(), lr=0.1) for held in (parameters, alone))
    limit = 0.4
    average = WeightAverage(parameters, lambda step: decay_at(step, limit))
    expected: dict[str, torch.Tensor] = {}
    for step in range(10):
        for held in (parameters, alone):
            for one in held.values():
                one.grad = torch.arange(one.numel(), dtype=torch.float32).reshape(one.shape).sin() * (step + 1)
        optimizer.step()
        plain.step()
        average.update(step)
        decay = 0.0 if step == 0 else min(limit, (1 + step) / (10 + step))
        for name, one in alone.items():
            expected[name] = decay * expected.get(name, 0.0) + (1 - decay) * one.detach().double()
        with evaluating(optimizer, average):
            for name, one in parameters.items():
                torch.testing.assert_close(one.detach().double(), expected[name], rtol=1e-6, atol=1e-7)
            kept = state_tensors(optimizer, parameters)
            assert all(torch.equal(kept[f"{name}/trained_weights"], one) for name, one in alone.items())
        assert all(torch.equal(parameters[name], one) for name, one in alone.items())
        assert not any(name.endswith("trained_weights") for name in state_tensors(optimizer, parameters))


def _validated(job: Job) -> list[float]:
    return [event.metrics["val_loss"] for event in job.of_kind("evaluated")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "strategy", "classes"), [("llama", "lora", 0), ("bert", "full", 3)])
def test_a_run_trains_as_without_an_average_and_measures_keeps_and_resumes_it(
    tmp_path: Path, kind: str, strategy: str, classes: int
) -> None:
    plain = make_job(tmp_path / "plain", kind, strategy, classes=classes)
    record = plain.run()
    job = make_job(tmp_path / "averaged", kind, strategy, classes=classes, train__ema_decay=0.9)
    whole = job.run("whole")
    assert [one.loss for one in job.of_kind("step")] == [one.loss for one in plain.of_kind("step")]
    assert _validated(job)[1:] != _validated(plain)[1:]
    before, behind = (one / "checkpoints" / "step-00000012" for one in (plain.folder().path, job.folder("whole").path))
    trained = read_tensors(before / "trainable.safetensors")
    state = read_tensors(behind / "optimizer.safetensors")
    averaged = read_tensors(behind / "trainable.safetensors")
    for name, tensor in trained.items():
        assert torch.equal(state[f"{name}/trained_weights"], tensor), "the weights in training are kept beside them"
    assert any(not torch.equal(averaged[name], tensor) for name, tensor in trained.items())
    assert whole.final_weights_sha256 != record.final_weights_sha256
    run_killed(job, "killed", "step", 8)
    assert_same(job, "killed", whole)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [2, 3, 4])
def test_the_result_is_the_mean_of_the_last_checkpoints(tmp_path: Path, wanted: int) -> None:
    plain = make_job(tmp_path / "plain", "llama", "full", train__keep_checkpoints=9)
    plain.run()
    job = make_job(tmp_path / "averaged", "llama", "full", train__average_checkpoints=wanted, train__select="last")
    whole = job.run("whole")
    assert [one.loss for one in job.of_kind("step")] == [one.loss for one in plain.of_kind("step")]
    steps = [3, 6, 9, 12][-wanted:]
    kept = [read_tensors(plain.folder().checkpoints / f"step-{step:08}" / "trainable.safetensors") for step in steps]
    result = read_tensors(job.folder("whole").checkpoints / "step-00000012" / "trainable.safetensors")
    for name, tensor in result.items():
        mean = torch.stack([one[name].double() for one in kept]).mean(dim=0)
        torch.testing.assert_close(tensor.double(), mean, rtol=1e-5, atol=1e-7)
    assert whole.selected_step == 12
    assert whole.final_weights_sha256 == content_digest(result), "what is tested and saved"
    assert _validated(job)[: 5 - wanted] == _validated(plain)[: 5 - wanted], "before, the weights are measured"
    assert _validated(job)[-1] != _validated(plain)[-1]
    run_killed(job, "killed", "step", 8)
    assert_same(job, "killed", whole)


@pytest.mark.sample(1)
@pytest.mark.parametrize(("strategy", "precision"), [("full", "bfloat16"), ("lora", "float32")])
def test_the_trace_counts_the_average_as_a_real_step_does(strategy: str, precision: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", "llama")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    shape = BatchShape(length=20, supervised=7, padded=False)
    usual: dict[str, Any] = {"device": PROCESSOR, "shape": shape, "num_modules": 4, "train__precision": precision}
    plain, job = (trace_job(config, strategy, **usual, train__ema_decay=decay) for decay in (None, 0.9))
    assert plain.key() != job.key()
    groups = whole_groups((2,))
    before, without = (peaks(log_of(one, (2,), groups)) for one in (plain, job))
    model = build_model(job.settings, FolderBase(tmp_path / "model"), torch.device("cpu"))
    trained = 4 * sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert without["optimiser step"].size - before["optimiser step"].size == pytest.approx(trained, rel=0.2)
    real = peaks(run_steps(job, model, groups, torch.device("cpu"), Folder(tmp_path / "kept")))
    assert {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == dict.fromkeys(
        real.keys() - OF_THE_HOST, 0
    )
