"""Weights of classes: torch's own weighted cross entropy, in training alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from ftc.runtime.training.loop import _loss
from ftc.spec.documents.record import Evaluation
from tests.runtime.jobs import make_job


def test_a_weighted_loss_and_its_gradient_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(4)
    scores = torch.randn(6, 3, generator=generator, requires_grad=True)
    targets, weights = torch.tensor([0, 2, 1, 1, 0, 2]), torch.tensor([0.5, 2.0, 3.5])
    scorer: Any = SimpleNamespace(
        logits=lambda _model, _batch: scores,
        losses=lambda logits, batch, _: functional.cross_entropy(logits, batch.targets, reduction="none"),
    )
    train = SimpleNamespace(label_smoothing=0.0, focal_gamma=None, z_loss=None)
    job: Any = SimpleNamespace(
        teacher=None, scorer=scorer, model=None, train=train, class_weights=weights, router=None, loss=None
    )
    batch: Any = SimpleNamespace(targets=targets)
    batch.part = lambda _: batch
    (found,) = torch.autograd.grad(_loss(job, batch, 1.0), scores)
    theirs = functional.cross_entropy(scores, targets, weight=weights, reduction="sum")
    assert _loss(job, batch, 1.0).item() == pytest.approx(theirs.item(), rel=1e-6)
    torch.testing.assert_close(found, torch.autograd.grad(theirs, scores)[0])


@pytest.mark.slow
def test_a_run_weighs_what_it_trains_on_and_not_what_it_measures(tmp_path: Path) -> None:
    measured = []
    for name, weights in (("plain", ()), ("heavy", (2.0, 2.0, 2.0))):
        changes = {"eval__metrics": ("accuracy", "loss"), "train__class_weights": weights}
        job = make_job(tmp_path / name, "bert", "full", classes=3, **changes)
        job.run()
        base = Evaluation.model_validate_json(job.folder().evaluation.read_bytes()).base
        assert base is not None
        measured.append((job.of_kind("step")[0].loss, base.metrics["loss"]))
    (plain, before), (heavy, after) = measured
    assert heavy == pytest.approx(2 * plain, rel=1e-5)
    assert before == after
