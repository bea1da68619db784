"""A loss that a package brings: by its formula, in chunks, its memory traced, and what it may not do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.memory_trace.child import trace
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer, package_loss
from ftc.runtime.tasks.package_loss import PackageLoss, package_loss_of
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.streams import TokenStream
from ftc.spec.extension_points import extension_point
from tests.runtime.jobs import changed, make_job, write_stream
from tests.support.trace_jobs import LLAMA, trace_job

_NAME, _POWER = "courtesy-metrics:bounded", 0.7
_EXAMPLE = Path(__file__).parents[3] / "recipes/extension/courtesy-metrics/courtesy_metrics/__init__.py"


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's module, as if it were installed; its installation is a test of its own."""
    spec = importlib.util.spec_from_file_location("courtesy_metrics_here", _EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(package_loss, "package_function", lambda _point, _name: module.bounded)


def _by_hand(model: Any, rows: TokenStream, row: int) -> torch.Tensor:
    """The losses of a row's answer tokens: (1 - p^q) / q."""
    ids, answer = torch.tensor(rows.ids(row).tolist()), torch.tensor(rows.mask(row).tolist(), dtype=torch.bool)
    chances = model(input_ids=ids[None]).logits[0].double().softmax(-1)[:-1][answer[1:]]
    right = chances[torch.arange(len(chances)), ids[1:][answer[1:]]]
    losses: torch.Tensor = (1 - right**_POWER) / _POWER
    return losses


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("size", [None, 3])
def test_ten_steps_by_the_formula(size: int | None, tmp_path: Path) -> None:
    from accelerate import Accelerator

    made = make_job(tmp_path, "llama", "full")
    rows = write_stream(tmp_path / "rows.arrow", 12, 3)
    changes = {
        "train.loss": _NAME,
        "train.loss_chunk_size": size,
        "train.num_steps": 10,
        "train.steps_per_epoch": 4,
        "train.batch_size": 3,
        "train.micro_batch": 2,
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), torch.device("cpu"))
    parameters, order = trainable_tensors(model), BatchOrder(rows.lengths, 3, 4, settings.seeds.order)
    job = Job(
        settings.train,
        settings.seeds,
        model,
        parameters,
        make_scorer(model, settings),
        make_optimizer(parameters, settings.train, model),
        StreamRows(rows, order),
        Accelerator(cpu=True),
        loss=package_loss_of(settings),
    )
    steps = training_steps(job, 0)
    for number in range(10):
        plain = torch.cat([_by_hand(model, rows, row) for row in order.rows(number)]).mean()
        gradients = torch.autograd.grad(plain, list(parameters.values()))
        step = next(steps)
        assert step.loss == pytest.approx(plain.item(), rel=1e-4), f"step {number + 1}"
        norm = torch.stack([one.norm() for one in gradients]).norm()
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("_installed")
def test_what_it_keeps_is_traced() -> None:
    shape, config = BatchShape(length=20, supervised=16, padded=False), {**LLAMA, "vocab_size": 32_000}
    plain, packaged = (trace_job(config, shape=shape, train__loss=name) for name in (None, _NAME))
    less, more = (
        next(one.components["logits"] for one in trace(job).phases if one.phase == "backward: loss and head")
        for job in (plain, packaged)
    )
    assert more >= less > 0
    assert packaged.key() != packaged.model_copy(update={"loss_code": "0" * 64}).key(), "another release, another trace"


def _squares(scores: Any, targets: Any) -> Any:
    return (scores.gather(1, targets[:, None]).squeeze(1) - 1) ** 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda scores, targets: _squares(scores, targets).sum(),
            "returned a tensor of (), torch.float32 for 4",
        ),
        (lambda _scores, _targets: 0.5, "returned float for 4 targets"),
        (lambda _scores, targets: targets, "returned a tensor of (4,), torch.int64"),
        (lambda scores, targets: _squares(scores, targets).detach(), "gives no gradient"),
        (lambda scores, targets: _squares(scores, targets) / len(targets), "another loss in a batch than alone"),
        (lambda scores, targets: scores[len(targets) + 1], "raised IndexError"),
    ],
)
def test_what_is_no_loss_is_refused(function: Callable[..., Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_loss, "package_function", lambda _point, _name: function)
    scores, targets = torch.randn(4, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 5, 0, 2])
    loss = PackageLoss(extension_point("token_loss"), _NAME)
    with pytest.raises(Refusal) as refused:
        loss(scores.requires_grad_(), targets)
    (found,) = refused.value.diagnostics
    assert found.code == "FTC483"
    assert words in found.summary
    assert "`courtesy-metrics:bounded`" in found.summary
