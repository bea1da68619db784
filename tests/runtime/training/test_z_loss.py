"""The z-loss beside the cross entropy of tokens: ten steps by the paper's formula, whole and in chunks."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.memory_trace.child import trace
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.record import Evaluation
from ftc.spec.documents.streams import TokenStream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import changed, make_job, write_stream
from tests.runtime.training.test_preference_steps import AdamW
from tests.support.trace_jobs import LLAMA, trace_job

_WEIGHT, _STEPS, _BATCH = 0.05, 10, 3


def _by_hand(model: Any, rows: TokenStream, row: int) -> torch.Tensor:
    """The losses of a row's answer tokens: -log p + weight * (log Z)^2."""
    ids, answer = torch.tensor(rows.ids(row).tolist()), torch.tensor(rows.mask(row).tolist(), dtype=torch.bool)
    scores = model(input_ids=ids[None]).logits[0].double()[:-1][answer[1:]]
    normalizer = scores.exp().sum(dim=-1).log()
    right = scores[torch.arange(len(scores)), ids[1:][answer[1:]]]
    losses: torch.Tensor = normalizer - right + _WEIGHT * normalizer**2
    return losses


@pytest.mark.parametrize("size", [None, 3])
def test_ten_steps_by_the_formula(size: int | None, tmp_path: Path) -> None:
    from accelerate import Accelerator

    made = make_job(tmp_path, "llama", "full")
    rows = write_stream(tmp_path / "rows.arrow", 12, 3)
    changes = {
        "train.z_loss": _WEIGHT,
        "train.loss_chunk_size": size,
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), torch.device("cpu"))
    plain, train = copy.deepcopy(model), settings.train
    parameters, order = trainable_tensors(model), BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    optimizer, scorer = make_optimizer(parameters, train, model), make_scorer(model, settings)
    source, accelerator = StreamRows(rows, order), Accelerator(cpu=True)
    job = Job(train, settings.seeds, model, parameters, scorer, optimizer, source, accelerator)
    found = list(training_steps(job, 0))

    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        loss = torch.cat([_by_hand(plain, rows, row) for row in order.rows(number)]).mean()
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-4), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        update.step(
            learning_rate_at(number, train), {key: one * clipped for key, one in gradients.items()}, rule.epsilon
        )


@pytest.mark.slow
def test_it_is_trained_and_not_measured(tmp_path: Path) -> None:
    found = []
    for name, weight in (("plain", None), ("z", 0.1)):
        job = make_job(tmp_path / name, train__z_loss=weight)
        job.run()
        base = Evaluation.model_validate_json(job.folder().evaluation.read_bytes()).base
        assert base is not None
        found.append((job.of_kind("step")[0].loss, base.metrics["loss"]))
    (plain, before), (with_it, after) = found
    assert plain < with_it
    assert before == after


@pytest.mark.slow
def test_scores_stand_in_memory_two_times_more() -> None:
    shape, config = BatchShape(length=20, supervised=16, padded=False), {**LLAMA, "vocab_size": 32_000}
    less, more = (
        next(one.components["logits"] for one in trace(job).phases if one.phase == "backward: loss and head")
        for job in (trace_job(config, shape=shape, train__z_loss=weight) for weight in (None, 1e-4))
    )
    assert more / less == pytest.approx(5 / 3, rel=0.01)
