"""Masks by the paper, ten steps of masked language modeling beside ten by its formula, and a killed run."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import MaskedRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.loss_settings import MaskingSettings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.masking import fixed_masks, num_masked, step_masks, written
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import changed, make_job, reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.runtime.training.test_preference_steps import AdamW
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

_STEPS, _BATCH = 10, 3
_MASKING = MaskingSettings(share=0.15, mask_id=3, vocabulary=VOCAB_SIZE)
_MASKED: dict[str, Any] = {
    "model__head": "masked_lm",
    "text__form": "masked",
    "train__masking": _MASKING.model_dump(),
    "seeds__masking": 11,
    "eval__metrics": ("perplexity",),
}


def _texts(file: Path, count: int = 12, seed: int = 3) -> TokenStream:
    """Rows of six to twenty tokens between two that are never masked."""
    generator = np.random.default_rng(seed)
    made = [
        np.array([~1, *generator.integers(4, VOCAB_SIZE, size=int(generator.integers(6, 20))), ~2], np.int32)
        for _ in range(count)
    ]
    ids, masks = zip(*(fixed_masks(one, _MASKING) for one in made), strict=True)
    return write_columns(
        file,
        [one.tolist() for one in ids],
        [one.astype(int).tolist() for one in masks],
        prompts=[0] * count,
        targets=[one.tolist() for one in made],
    )


def test_masks_are_a_function_of_the_place_with_shares_as_in_the_paper() -> None:
    kept = np.array([~1, *range(4, 1004), ~2], np.int32)
    masking = MaskingSettings(share=0.15, mask_id=3, vocabulary=30_000)
    counts = np.zeros(3)
    for step in range(50):
        ids, mask = step_masks(kept, masking, 17, step, 5)
        again = step_masks(kept, masking, 17, step, 5)
        assert (ids == again[0]).all()
        assert (mask == again[1]).all()
        assert mask.sum() == num_masked(1000, 0.15) == 150
        assert not mask[[0, -1]].any()
        assert (ids == written(kept))[~mask].all()
        chosen, right = ids[mask], written(kept)[mask]
        counts += [(chosen == 3).sum(), ((chosen != 3) & (chosen != right)).sum(), (chosen == right).sum()]
    np.testing.assert_allclose(counts / counts.sum(), [0.8, 0.1, 0.1], atol=0.02)
    others = [step_masks(kept, masking, *place)[1] for place in ((17, 1, 5), (17, 0, 6), (18, 0, 5))]
    first = step_masks(kept, masking, 17, 0, 5)[1]
    assert not any((first == other).all() for other in others), "step, row and seed each give other masks"
    assert (fixed_masks(kept, masking)[1] == fixed_masks(kept.copy(), masking)[1]).all()
    assert num_masked(1, 0.15) == 1, "a short row has a target, too"
    assert num_masked(0, 0.15) == 0


def test_ten_steps_by_the_formula(tmp_path: Path) -> None:
    from accelerate import Accelerator

    made, rows = make_job(tmp_path, "bert", "full", classes=3), _texts(tmp_path / "texts.arrow")
    changes = {
        **{name.replace("__", "."): value for name, value in _MASKED.items()},
        "text.labels": (),
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), torch.device("cpu"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain, train = copy.deepcopy(model), settings.train
    parameters, order = trainable_tensors(model), BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    scorer, optimizer = make_scorer(model, settings), make_optimizer(parameters, train, model)
    source, accelerator = MaskedRows(rows, order, _MASKING, 11), Accelerator(cpu=True)
    job = Job(train, settings.seeds, model, parameters, scorer, optimizer, source, accelerator)
    found = list(training_steps(job, 0))

    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        losses = []
        for row in order.rows(number):
            kept = rows.targets[row]
            ids, mask = step_masks(kept, _MASKING, 11, number, row)
            scores = plain(input_ids=torch.tensor([ids.tolist()])).logits[0][torch.from_numpy(mask)].double()
            right = torch.tensor(written(kept)[mask].tolist())
            losses.append(scores.exp().sum(dim=-1).log() - scores[torch.arange(len(right)), right])
        loss = torch.cat(losses).mean()
        assert step.supervised == sum(map(len, losses))
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-4), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {key: one * clipped for key, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, rule.epsilon)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, strategy: str) -> None:
    write_tiny_model(tmp_path / "model-bert", "bert")
    for seed, (name, rows) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        _texts(tmp_path / "streams-3" / f"{name}.arrow", rows, seed)
    changes = {**_MASKED, "text__labels": ()}
    if strategy == "lora":
        changes["strategy__adapter__trained_modules"] = ()
    job = reopen_job(tmp_path, "bert", strategy, classes=3, **changes)
    whole = job.run("whole")
    assert len({event.batch_sha256 for event in job.of_kind("step")}) == 12, "each step masks other tokens"
    run_killed(job, "killed", "step", 5)
    assert_same(job, "killed", whole)
