"""Label smoothing and noise on embeddings are transformers' own, and measured losses know neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks.scorer import cross_entropy
from ftc.spec.documents.record import Evaluation
from tests.runtime.jobs import Job, changed, make_job

CPU = torch.device("cpu")


def test_smoothed_losses() -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    torch.manual_seed(0)
    scores, targets = torch.randn(3, 7, 11), torch.randint(0, 11, (3, 7))
    theirs = LabelSmoother(epsilon=0.1)({"logits": scores}, targets)
    ours = cross_entropy(scores.flatten(0, 1), targets.flatten(), 0.1).mean()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_noise_is_for_training_alone(tmp_path: Path) -> None:
    from transformers.integrations import neftune

    job = make_job(tmp_path)
    folder, ids = FolderBase(job.inputs.model_folder), torch.arange(4, 20).reshape(2, 8)
    plain: Any = build_model(job.plan.settings, folder, CPU)
    noisy: Any = build_model(changed(job.plan, {"train.neftune_alpha": 5.0}).settings, folder, CPU)
    plain, noisy = plain.get_input_embeddings(), noisy.get_input_embeddings()
    assert torch.equal(noisy(ids), plain(ids))
    noisy.train(), plain.train()
    plain.neftune_noise_alpha = 5.0
    plain.register_forward_hook(neftune.neftune_post_forward_hook)
    torch.manual_seed(3)
    ours = noisy(ids)
    torch.manual_seed(3)
    assert torch.equal(ours, plain(ids))


def base_loss(job: Job, name: str) -> float:
    """What a run measured of the model before training."""
    found = Evaluation.model_validate_json(job.folder(name).evaluation.read_bytes())
    assert found.base is not None
    return found.base.metrics["loss"]


@pytest.mark.slow
def test_a_run_with_both_measures_plain_losses(tmp_path: Path) -> None:
    usual: dict[str, Any] = {"train__num_steps": 3, "eval__metrics": ("loss",)}
    job = make_job(tmp_path, train__label_smoothing=0.2, train__neftune_alpha=5.0, **usual)
    assert job.run("one").status == "finished"
    (first,) = [event for event in job.of_kind("step") if event.step == 1]
    plain = make_job(tmp_path, **usual)
    plain.run("two")
    (same,) = [event for event in plain.of_kind("step") if event.step == 1]
    assert first.loss != same.loss
    assert base_loss(job, "one") == base_loss(plain, "two")
