"""Linear layers by the processor's other library: the same figures, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ftc.runtime import kernels
from ftc.runtime.kernels import faster_linears, has_faster_linears


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
        pytest.skip("this processor has no faster way")
    asked = []
    usual = kernels._linear
    monkeypatch.setattr(kernels, "_linear", lambda layer, some: asked.append(layer) or usual(layer, some))
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
    monkeypatch.setattr(kernels, "has_faster_linears", lambda: False)
    with torch.inference_mode():
        usual = model(inputs)
        with faster_linears(model):
            assert torch.equal(model(inputs), usual)
