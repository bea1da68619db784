"""Fused kernels give what torch's own give but for rounding, in training alone, and take what the trace says."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.triton_interpreter import interpreted

assert interpreted

import torch  # noqa: E402
from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN  # noqa: E402

from ftc.runtime.execution.execute import execute  # noqa: E402
from ftc.runtime.memory_trace.log import peaks  # noqa: E402
from ftc.runtime.memory_trace.step import run_steps  # noqa: E402
from ftc.runtime.memory_trace.whole import log_of, whole_groups  # noqa: E402
from ftc.runtime.models.base_model import FolderBase  # noqa: E402
from ftc.runtime.models.build_model import build_model  # noqa: E402
from ftc.runtime.models.fused_layers import fuse_layers  # noqa: E402
from ftc.runtime.training import fused  # noqa: E402
from ftc.spec.architectures import ARCHITECTURES, architecture  # noqa: E402
from ftc.spec.checkpointing import CHECKPOINTING, Recomputing  # noqa: E402
from ftc.spec.documents.events import Event, StepDone  # noqa: E402
from ftc.spec.documents.memory_trace import BatchShape  # noqa: E402
from ftc.spec.documents.settings import TrainSettings  # noqa: E402
from ftc.spec.fused_kernels import FUSED_KERNELS, FUSED_TYPES, liger_parts  # noqa: E402
from tests.runtime.jobs import Job, make_job  # noqa: E402
from tests.support.tiny_architectures import tiny_model  # noqa: E402
from tests.support.tiny_models import write_tiny_model  # noqa: E402
from tests.support.trace_jobs import PROCESSOR, trace_job  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

ALL = tuple(card.part for card in FUSED_KERNELS)
LARGEST = {torch.float32: 1e-5, torch.bfloat16: 4e-2}
"""Difference of losses, and of gradients beside the largest gradient."""


def settings(parts: tuple[str, ...], value: Recomputing = False) -> TrainSettings:
    return trace_job(train__kernels=parts, train__activation_checkpointing=value).settings.train


def random_model(kind: str, dtype: torch.dtype = torch.float32) -> Any:
    """A tiny model whose norms have weights of their own."""
    torch.manual_seed(0)
    model = tiny_model(kind).to(dtype).train()
    for one in model.parameters():
        if one.ndim == 1:
            torch.nn.init.normal_(one, 1.0, 0.1)
    return model


def passes(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of two rows, one of them padded."""
    ids = torch.arange(5, 17)[None].repeat(2, 1)
    seen = torch.ones_like(ids)
    seen[1, 8:] = 0
    model.zero_grad()
    loss = -model(input_ids=ids, attention_mask=seen).logits[:, :8].float().log_softmax(-1)[..., 7].mean()
    loss.backward()
    return loss.item(), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def parts_of(kind: str) -> tuple[str, ...]:
    return liger_parts(kind, architecture(kind).activation)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", FUSED_TYPES)
def test_losses_and_gradients_differ_by_rounding(kind: str, dtype: torch.dtype) -> None:
    model = random_model(kind, dtype)
    loss, gradients = passes(model)
    model.eval()
    evaluated = model(input_ids=torch.arange(5, 17)[None]).logits
    module = sys.modules[type(model).__module__]
    code = dict(vars(module))
    undo = fuse_layers(model, settings(parts_of(kind)))
    assert vars(module) == code, "other models have torch's own"
    assert torch.equal(model(input_ids=torch.arange(5, 17)[None]).logits, evaluated), "and so has an evaluation"
    model.train()
    other, found = passes(model)
    largest = max(one.abs().max().item() for one in gradients.values())
    assert other == pytest.approx(loss, abs=LARGEST[dtype])
    assert found.keys() == gradients.keys()
    apart = {name: (found[name] - one).abs().max().item() / largest for name, one in gradients.items()}
    assert max(apart.values()) < LARGEST[dtype], apart
    assert max(apart.values()) > 0, "the kernels were called"
    undo()
    again, same = passes(model)
    assert again == loss
    assert all(torch.equal(same[name], one) for name, one in gradients.items())


def test_every_type_that_the_package_knows_has_its_parts() -> None:
    assert {row.model_type for row in ARCHITECTURES} & MODEL_TYPE_TO_APPLY_LIGER_FN.keys() == FUSED_TYPES.keys()


def test_a_part_without_a_kernel_is_told() -> None:
    with pytest.raises(LookupError, match="other kernels"):
        fuse_layers(random_model("deepseek_v2"), settings(("norm", "rotation")))


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2", "phi3"])
def test_what_is_computed_again_is_the_same_to_the_bit(kind: str, tmp_path: Path) -> None:
    """A rotation writes over what linear layers gave, which selective checkpointing keeps."""
    write_tiny_model(tmp_path, kind)
    config = json.loads((tmp_path / "config.json").read_text())
    found = []
    for card in CHECKPOINTING:
        changes: dict[str, Any] = {"train__activation_checkpointing": card.value, "train__kernels": parts_of(kind)}
        job = trace_job(config, "full", device=PROCESSOR, model__attention="eager", **changes)
        model: Any = build_model(job.settings, FolderBase(tmp_path), torch.device("cpu")).train()
        fuse_layers(model, job.settings.train)
        found.append(passes(model))
    (loss, gradients), *others = found
    for other, same in others:
        assert other == loss
        assert all(torch.equal(same[name], one) for name, one in gradients.items())


def losses(job: Job) -> list[float]:
    return [event.loss for event in job.of_kind("step")]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lora", "full"])
def test_a_run_differs_by_rounding_and_resumes_to_the_bit(strategy: str, tmp_path: Path) -> None:
    plain = make_job(tmp_path, strategy=strategy)
    plain.run("plain")
    job = make_job(tmp_path, strategy=strategy, train__kernels=ALL)
    whole = job.run("whole")
    assert job.of_kind("noticed") == []
    assert losses(job) == pytest.approx(losses(plain), rel=1e-5)
    assert losses(job) != losses(plain)
    assert whole.observed.machine is not None
    assert whole.observed.machine.math["fused_by"].startswith("liger-kernel ")

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 8:
            raise MemoryError

    with pytest.raises(MemoryError):
        execute(job.plan, job.inputs, job.folder("killed"), listen)
    assert job.run("killed").final_weights_sha256 == whole.final_weights_sha256


def test_a_run_goes_on_where_a_kernel_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no compiler")

    expected = make_job(tmp_path).run("plain")
    job = make_job(tmp_path, train__kernels=ALL)
    monkeypatch.setattr(fused, "rehearse", broken)
    assert job.run("asked").final_weights_sha256 == expected.final_weights_sha256
    assert [event.code for event in job.of_kind("noticed")] == ["FTC674"]


@pytest.mark.parametrize(
    ("kind", "strategy", "precision"),
    [
        ("llama", "full", "float32"),
        ("llama", "lora", "bfloat16"),
        ("gemma2", "full", "bfloat16"),
        ("qwen3", "lora", "float32"),
        ("phi3", "full", "bfloat16"),
    ],
)
def test_a_step_without_memory_takes_what_a_real_one_does(
    kind: str, strategy: str, precision: str, tmp_path: Path
) -> None:
    write_tiny_model(tmp_path, kind)
    config, depths = json.loads((tmp_path / "config.json").read_text()), (2,)
    shape = BatchShape(length=20, supervised=7, padded=False)
    make = partial(trace_job, config, strategy, device=PROCESSOR, shape=shape, num_modules=4)
    for card in CHECKPOINTING:
        changes: dict[str, Any] = {"train__activation_checkpointing": card.value, "train__precision": precision}
        job = make(train__kernels=parts_of(kind), model__attention="eager", **changes)
        without = peaks(log_of(job, depths, whole_groups(depths)))
        model = build_model(job.settings, FolderBase(tmp_path), torch.device("cpu"))
        real = peaks(run_steps(job, model, whole_groups(depths), torch.device("cpu")))
        apart = {name: without[name].size - real[name].size for name in real.keys() - {"load", "clip"}}
        assert set(apart.values()) == {0}, (card.value, apart)
        plain = peaks(log_of(make(model__attention="eager", **changes), depths, whole_groups(depths)))
        assert max(one.size for one in without.values()) <= max(one.size for one in plain.values())
