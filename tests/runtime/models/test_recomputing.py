"""Whatever is kept of activations, losses and gradients are the same, to the bit; what is kept isn't computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from ftc.runtime.memory_trace.rows import stand_in_rows  # noqa: E402
from ftc.runtime.models.base_model import FolderBase, trainable_tensors  # noqa: E402
from ftc.runtime.models.build_model import build_model  # noqa: E402
from ftc.runtime.models.recomputing import checkpointing_options, keep_activations  # noqa: E402
from ftc.runtime.tasks import make_scorer  # noqa: E402
from ftc.spec.checkpointing import CHECKPOINTING, Recomputing  # noqa: E402
from ftc.spec.documents.memory_trace import BatchShape  # noqa: E402
from tests.support.tiny_models import write_tiny_model  # noqa: E402
from tests.support.trace_jobs import PROCESSOR, trace_job  # noqa: E402

MODULES = {"gpt2": 2, "t5": 12}


def step(folder: Path, kind: str, strategy: str, value: Recomputing, precision: str) -> tuple[Any, dict[str, Any]]:
    """Loss and gradients of a micro-batch with dropout."""
    shape = BatchShape(length=20, supervised=7, padded=True)
    config = json.loads((folder / "config.json").read_text())
    changes: dict[str, Any] = {"model__attention": "sdpa", "train__activation_checkpointing": value}
    job = trace_job(
        config, strategy, device=PROCESSOR, shape=shape, num_modules=MODULES.get(kind, 4), train__precision=precision,
        **changes,
    )  # fmt: skip
    model = build_model(job.settings, FolderBase(folder), torch.device("cpu")).train()
    scorer = make_scorer(model, job.settings)
    batch = scorer.batch(stand_in_rows(job.settings, shape, 3), [0, 1, 2])
    torch.manual_seed(5)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != "float32"):
        loss = scorer.losses(scorer.logits(model, batch), batch).sum()
    loss.backward()
    return loss.detach(), {name: one.grad for name, one in trainable_tensors(model).items()}


@pytest.mark.parametrize(
    ("kind", "strategy", "precision"),
    [
        ("llama", "full", "float32"),
        ("llama", "partial", "float32"),
        ("llama", "lora", "bfloat16"),
        ("bert", "lora", "float32"),
        ("t5", "lora", "bfloat16"),
        ("gpt2", "full", "bfloat16"),
        ("qwen3_moe", "full", "float32"),
        ("qwen3_moe", "experts", "float32"),
        ("mixtral", "experts", "bfloat16"),
    ],
)
def test_losses_and_gradients_are_the_same_to_the_bit(kind: str, strategy: str, precision: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / kind, kind)
    (loss, gradients), *others = (
        step(tmp_path / kind, kind, strategy, card.value, precision) for card in CHECKPOINTING
    )
    for other, found in others:
        assert torch.equal(loss, other)
        assert found.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert torch.equal(gradient, found[name]), name


def layer(inputs: Any, *weights: Any) -> Any:
    """Two products with what is cheap between them; the second result is changed in place."""
    wide = torch.nn.functional.linear(inputs, weights[0])
    out = torch.nn.functional.linear(torch.sigmoid(wide), weights[1])
    out *= 2
    return torch.tanh(out) + inputs


def test_large_products_are_computed_once_and_an_adapters_second_ones_again() -> None:
    torch.manual_seed(3)
    base = torch.nn.Sequential(torch.nn.Linear(8, 16, bias=False), torch.nn.Linear(16, 8, bias=False))
    inputs, weights = torch.randn(5, 8, requires_grad=True), [one.weight for one in base]
    layer(inputs, *weights).sum().backward()
    expected = [one.grad.clone() for one in (inputs, *weights)]
    counts = []
    for card in CHECKPOINTING[1:]:
        inputs.grad = None
        base.zero_grad()
        options = checkpointing_options(base, card.value)
        with FlopCounterMode(display=False) as counter:
            checkpoint(layer, inputs, *weights, **options).sum().backward()
        counts.append(counter.get_total_flops())
        assert all(torch.equal(one, two.grad) for one, two in zip(expected, (inputs, *weights), strict=True))
    product = 2 * 5 * 8 * 16
    assert counts == [6 * product, 8 * product]

    narrow = torch.randn(5, 4, requires_grad=True)  # fewer inputs than any of the model's own has
    options = checkpointing_options(base, "selective")
    with FlopCounterMode(display=False) as counter:
        checkpoint(lambda one: torch.sigmoid(one @ torch.ones(4, 8)), narrow, **options).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 5 * 4 * 8


def test_a_second_backward_pass_computes_what_the_first_one_was_given() -> None:
    base = torch.nn.Linear(8, 8, bias=False)
    inputs = torch.randn(5, 8, requires_grad=True)
    out = checkpoint(lambda one: torch.sigmoid(base(one)), inputs, **checkpointing_options(base, "selective")).sum()
    first, second = (torch.autograd.grad(out, inputs, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


class _Seeing(nn.Module):
    """A tower of an earlier release of transformers, which removes the hook of its embeddings as if there were one."""

    def __init__(self, hook: Any = None) -> None:
        super().__init__()
        if hook is not None:
            self._require_grads_hook: Any = hook
        self.tower: Any = torch.nn.Linear(2, 2)
        self.tower.gradient_checkpointing = True

    def disable_input_require_grads(self) -> None:
        self._require_grads_hook.remove()


def test_a_hook_that_is_not_there_is_not_removed_and_one_that_cannot_be_is_no_secret() -> None:
    model = _Seeing()
    keep_activations(model, ["tower"])
    assert not model.tower.gradient_checkpointing
    with pytest.raises(AttributeError, match="remove"):
        keep_activations(_Seeing(object()), ["tower"])
