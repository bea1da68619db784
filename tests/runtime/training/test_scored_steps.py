"""Ten steps of reward models and of each loss of numbers beside ten by the formula; and killed runs of pairs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.streams import TokenStream
from ftc.spec.number_losses import NUMBER_LOSSES
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import changed, make_job, reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.runtime.training.test_preference_steps import AdamW, answer_pairs
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

_STEPS, _BATCH = 10, 3
_CPU = torch.device("cpu")
_SCALE = {"mean": 2.0, "spread": 4.0}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "mse": lambda apart: apart**2,
    "mae": lambda apart: apart.abs(),
    "huber": lambda apart: torch.where(apart.abs() < 1, apart**2 / 2, apart.abs() - 0.5),
}
"""By how far the output is from the number, in spreads of the training rows."""


def _bradley_terry(model: Any, rows: TokenStream, number: int) -> Any:
    """-log sigmoid of how much more the chosen answer scores, each answer alone and unpadded."""
    ids, first = rows.ids(number).tolist(), int(rows.targets[number][0])
    chosen, rejected = (model(input_ids=torch.tensor([line])).logits[0, 0] for line in (ids[:first], ids[first:]))
    return torch.log1p(torch.exp(rejected - chosen))


def _numbers(loss: str) -> Callable[[Any, TokenStream, int], Any]:
    def by_hand(model: Any, rows: TokenStream, number: int) -> Any:
        output = model(input_ids=torch.tensor([rows.ids(number).tolist()])).logits[0, 0]
        value = float(np.array(rows.targets[number], np.int32).view(np.float32)[0])
        return NUMBERS[loss](output - (value - _SCALE["mean"]) / _SCALE["spread"])

    return by_hand


def _rated_texts(file: Path) -> TokenStream:
    """Texts of three to nine tokens, each with a number from 0 to 9."""
    generator = np.random.default_rng(5)
    ids = [generator.integers(4, VOCAB_SIZE, size=int(generator.integers(3, 10))).tolist() for _ in range(12)]
    bits = generator.integers(0, 10, size=(len(ids), 1)).astype(np.float32).view(np.int32).tolist()
    return write_columns(file, ids, [[0] * len(row) for row in ids], prompts=[len(row) for row in ids], targets=bits)


def test_every_loss_of_numbers_has_a_formula() -> None:
    assert NUMBERS.keys() == {card.kind for card in NUMBER_LOSSES}


@pytest.mark.parametrize("name", ["reward", *NUMBERS])
def test_ten_steps_by_the_formula(name: str, tmp_path: Path) -> None:
    from accelerate import Accelerator

    is_pair = name == "reward"
    made = make_job(tmp_path, "llama", "full")
    rows = answer_pairs(tmp_path / "rows.arrow") if is_pair else _rated_texts(tmp_path / "rows.arrow")
    by_hand = _bradley_terry if is_pair else _numbers(name)
    changes: dict[str, Any] = {
        "model.head": "regression",
        "text.form": "preference" if is_pair else "score",
        "text.labels": ("score",),
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    if not is_pair:
        changes["train.regression"] = {"loss": name, "scales": (_SCALE,)}
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), _CPU)
    plain, train = copy.deepcopy(model), settings.train
    scorer: Any = make_scorer(model, settings)
    parameters = trainable_tensors(model)
    order = BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    optimizer = make_optimizer(parameters, train, model)
    source = StreamRows(rows, order)
    found = list(
        training_steps(
            Job(train, settings.seeds, model, parameters, scorer, optimizer, source, Accelerator(cpu=True)), 0
        )
    )

    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        loss = torch.stack([by_hand(plain, rows, row) for row in order.rows(number)]).mean()
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-3, abs=1e-5), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-2, abs=1e-4)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {key: one * clipped for key, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, rule.epsilon)
    assert abs(found[-1].loss - found[0].loss) > 1e-2, "ten steps change the loss by far more than rounding"


_COMPARED: dict[str, dict[str, Any]] = {
    "dpo": {"train__preference": {"beta": 0.3}},
    "simpo": {"train__preference": {"beta": 2.0, "loss": "simpo", "gamma": 0.5}},
    "reward": {"model__head": "regression", "text__labels": ("reward",)},
}
"""What each way to learn from pairs has in its plan."""


@pytest.mark.slow
@pytest.mark.parametrize("name", _COMPARED)
def test_a_killed_run_of_pairs_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model-llama", "llama")
    for seed, (part, count) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        answer_pairs(tmp_path / "streams-0" / f"{part}.arrow", count, seed)
    changes: dict[str, Any] = {
        **_COMPARED[name],
        "text__form": "preference",
        "eval__metrics": ("preference_accuracy", "reward_margin"),
        "eval__max_new_tokens": None,
    }
    strategy = "full" if name == "reward" else "lora"
    job = reopen_job(tmp_path, strategy=strategy, **changes)
    whole = job.run("whole")
    run_killed(job, "killed", "step", 5)
    assert_same(job, "killed", whole)
