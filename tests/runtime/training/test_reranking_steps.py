"""Ten steps of each loss of rerankers beside ten by its formula, each pair alone and unpadded; and a killed run."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
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
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.streams import TokenStream
from ftc.spec.reranking_losses import RERANKING_LOSSES
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job, reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.runtime.training.test_preference_steps import AdamW
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

_STEPS, _BATCH = 10, 3
_CPU = torch.device("cpu")


def _texts(file: Path, count: int = 12, seed: int = 3, *, margins: bool = True) -> TokenStream:
    """Queries with two to four texts of one to four tokens, the right one first, and a margin for each wrong one."""
    generator = np.random.default_rng(seed)

    def words(most: int) -> list[int]:
        found: list[int] = generator.integers(4, VOCAB_SIZE, size=int(generator.integers(1, most))).tolist()
        return found

    ids, masks, targets, texts = [], [], [], []
    for _ in range(count):
        query = [1, *words(5)]
        pairs = [[*query, *words(5)] for _ in range(int(generator.integers(2, 5)))]
        ids.append([token for pair in pairs for token in pair])
        masks.append([int(place == 0) for pair in pairs for place in range(len(pair))])
        bits = generator.normal(size=len(pairs) - 1).astype(np.float32).view(np.int32).tolist() if margins else []
        targets.append([max(map(len, pairs)), *[len(query)] * len(pairs), *bits])
        texts.append(["query", *(f"text {number}" for number in range(len(pairs)))])
    return write_columns(file, ids, masks, prompts=[2] * count, targets=targets, texts=texts)


def _by_hand(model: Any, rows: TokenStream, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a row's texts, each pair alone, and their margins."""
    pairs, given = rows.marked(number), rows.targets[number][1:]
    scores = []
    for pair, first in zip(pairs, given[: len(pairs)].tolist(), strict=True):
        types = torch.tensor([[0] * first + [1] * (len(pair) - first)])
        ids = torch.tensor([pair.tolist()])
        scores.append(model(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=types).logits[0, 0])
    return torch.stack(scores), torch.from_numpy(given[len(pairs) :].view(np.float32).copy())


FORMULAS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": lambda s, _: s.exp().sum().log() - s[0],
    "binary_cross_entropy": lambda s, _: torch.nn.functional.binary_cross_entropy_with_logits(
        s, torch.tensor([1.0] + [0.0] * (len(s) - 1))
    ),
    "margin_mse": lambda s, margins: torch.nn.functional.mse_loss(s[0] - s[1:], margins),
}


def test_every_loss_has_a_formula() -> None:
    assert FORMULAS.keys() == {card.kind for card in RERANKING_LOSSES}


@pytest.mark.parametrize("name", FORMULAS)
def test_ten_steps_by_the_formula(name: str, tmp_path: Path) -> None:
    from accelerate import Accelerator

    made: RunJob = make_job(tmp_path, "bert", "full", classes=3)
    rows = _texts(tmp_path / "texts.arrow")
    changes = {
        "model.head": "regression",
        "text.form": "rerank",
        "text.labels": ("score",),
        "train.reranking": {"loss": name},
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), _CPU)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain, train = copy.deepcopy(model), settings.train
    scorer: Any = make_scorer(model, settings)
    parameters = trainable_tensors(model)
    order = BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    optimizer = make_optimizer(parameters, train, model)
    source = StreamRows(rows, order)
    job = Job(train, settings.seeds, model, parameters, scorer, optimizer, source, Accelerator(cpu=True))
    found = list(training_steps(job, 0))

    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        losses = [FORMULAS[name](*_by_hand(plain, rows, row)) for row in order.rows(number)]
        loss = torch.stack(losses).mean()
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-3, abs=1e-5), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-2, abs=1e-4)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {key: one * clipped for key, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, rule.epsilon)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model-bert", "bert")
    for seed, (name, rows) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        _texts(tmp_path / "streams-3" / f"{name}.arrow", rows, seed, margins=False)
    job = reopen_job(
        tmp_path,
        "bert",
        "full",
        classes=3,
        model__head="regression",
        text__form="rerank",
        text__labels=("score",),
        train__reranking={"loss": "cross_entropy"},
        eval__metrics=("ndcg_at_10", "mrr_at_10"),
    )
    whole = job.run("whole")
    run_killed(job, "killed", "step", 5)
    assert_same(job, "killed", whole)
