"""Linear layers by the CPU's other library: the same figures, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ftc.runtime.evaluation import shortcuts
from ftc.runtime.evaluation.shortcuts import faster_linears, fold_adapter, has_faster_linears
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from tests.runtime.jobs import make_job


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 64), nn.GELU(), nn.Linear(64, 40, bias=False)).eval()


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(3, 7, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(3, 7, 48), (1, 48), (0, 48)])
def test_figures_are_those_of_the_usual_way(model: nn.Sequential, shape: tuple[int, ...]) -> None:
    inputs = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        usual = model(inputs)
        with faster_linears(model):
            found = model(inputs)
    assert found.shape == usual.shape
    torch.testing.assert_close(found, usual, rtol=1e-5, atol=1e-6)


def test_the_other_library_is_asked_once_a_layer(
    model: nn.Sequential, inputs: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_faster_linears():
        pytest.skip("this CPU has no faster way")
    asked = []
    usual = shortcuts._linear
    monkeypatch.setattr(shortcuts, "_linear", lambda layer, some: asked.append(layer) or usual(layer, some))
    with torch.inference_mode(), faster_linears(model):
        model(inputs)
    assert asked == [model[0], model[2]]


def test_gradients_flow_again_behind_the_block(model: nn.Sequential, inputs: torch.Tensor) -> None:
    with torch.inference_mode(), faster_linears(model):
        model(inputs)
    model(inputs).sum().backward()
    assert model[0].weight.grad is not None
    assert not [layer for layer in model if "forward" in vars(layer)]


def test_mixed_precision_is_left_to_torch(model: nn.Sequential, inputs: torch.Tensor) -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        usual = model(inputs)
        with faster_linears(model):
            found = model(inputs)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, usual)


def test_what_something_else_wrapped_stays_wrapped(model: nn.Sequential, inputs: torch.Tensor) -> None:
    model[2].forward = torch.zeros_like
    with torch.inference_mode(), faster_linears(model):
        assert not model(inputs).any()
    assert model[2].forward is torch.zeros_like


def test_without_a_faster_way_nothing_changes(
    model: nn.Sequential, inputs: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "has_faster_linears", lambda: False)
    with torch.inference_mode():
        usual = model(inputs)
        with faster_linears(model):
            assert torch.equal(model(inputs), usual)


@pytest.mark.parametrize(("precision", "folds"), [("float32", True), ("bfloat16", False)])
def test_an_adapter_is_folded_where_that_changes_no_more_than_rounding(
    tmp_path: Path, precision: str, *, folds: bool
) -> None:
    job = make_job(tmp_path, train__precision=precision)
    adapted: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu")).eval()
    for name, part in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(part, std=0.1)
    ids = torch.arange(12).view(2, 6)
    with torch.inference_mode():
        before = adapted(input_ids=ids).logits
        fold_adapter(adapted, job.plan.settings)
        after = adapted(input_ids=ids).logits
    merged = {layer.merged for layer in adapted.modules() if hasattr(layer, "merged")}
    assert merged == {folds}
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    with torch.inference_mode(), adapted.disable_adapter():
        assert not torch.allclose(adapted(input_ids=ids).logits, before, atol=1e-3), "the adapter says something"


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
def test_an_adapter_on_weights_that_also_write_stays_beside(tmp_path: Path) -> None:
    """The tiny model writes by its embeddings: folded into them, what they read would change what they write."""
    job = make_job(tmp_path)
    adapter = job.plan.settings.model_dump()["strategy"]["adapter"]
    job = make_job(tmp_path, strategy__adapter={**adapter, "targets": ("embed_tokens", "q_proj"), "num_modules": 3})
    adapted: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    fold_adapter(adapted, job.plan.settings)
    assert not any(layer.merged for layer in adapted.modules() if hasattr(layer, "merged"))
