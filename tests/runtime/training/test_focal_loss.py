"""Focal loss: the paper's formula written once more, in training alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ftc.runtime.tasks.scorer import focal_loss
from ftc.spec.documents.record import Evaluation
from tests.runtime.jobs import make_job


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_one_label_a_row(gamma: float) -> None:
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    targets = torch.tensor([0, 2, 1, 1, 0, 2])
    right = scores.softmax(dim=-1)[torch.arange(6), targets]
    torch.testing.assert_close(focal_loss(scores, targets, gamma), -((1 - right) ** gamma) * right.log())


def test_several_labels_a_row() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (4, 3), generator=generator).double()
    chance = torch.where(targets == 1, scores.sigmoid(), 1 - scores.sigmoid())
    expected = (-((1 - chance) ** 2) * chance.log()).mean(dim=-1)
    torch.testing.assert_close(focal_loss(scores, targets, 2.0), expected)


@pytest.mark.parametrize("gamma", [0.1, 2.0])
def test_a_label_that_is_certain_has_a_gradient_of_zero(gamma: float) -> None:
    scores = torch.tensor([[80.0, -80.0]], requires_grad=True)
    focal_loss(scores, torch.tensor([0]), gamma).sum().backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() == 0


@pytest.mark.slow
def test_a_run_trains_on_it_and_measures_plain_cross_entropy(tmp_path: Path) -> None:
    found = []
    for name, gamma in (("plain", None), ("focal", 2.0)):
        changes = {"eval__metrics": ("accuracy", "loss"), "train__focal_gamma": gamma}
        job = make_job(tmp_path / name, "bert", "full", classes=3, **changes)
        job.run()
        base = Evaluation.model_validate_json(job.folder().evaluation.read_bytes()).base
        assert base is not None
        found.append((job.of_kind("step")[0].loss, base.metrics["loss"]))
    (plain, before), (focal, after) = found
    assert 0 < focal < plain
    assert before == after
