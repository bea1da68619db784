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
_PLAIN = {"mean": 0.0, "spread": 1.0}
NUMBERS: dict[str, Callable[[Any, float], Any]] = {
    "mse": lambda output, number: (output - number) ** 2,
    "mae": lambda output, number: (output - number).abs(),
    "huber": lambda output, number: torch.where(
        (output - number).abs() < 1, (output - number) ** 2 / 2, (output - number).abs() - 0.5
    ),
    "binary_cross_entropy": lambda output, number: torch.log1p(torch.exp(output if number == 0 else -output)),
}
"""By the output and the number, in spreads of the training rows from their mean; of ratings 0 or 1."""


def _bradley_terry(model: Any, rows: TokenStream, number: int) -> Any:
    """-log sigmoid of how much more the chosen answer scores, each answer alone and unpadded."""
    ids, first = rows.ids(number).tolist(), int(rows.targets[number][0])
    chosen, rejected = (model(input_ids=torch.tensor([line])).logits[0, 0] for line in (ids[:first], ids[first:]))
    return torch.log1p(torch.exp(rejected - chosen))[None]


def _steps(model: Any, rows: TokenStream, number: int) -> Any:
    """-log of the probability of each step's label, at the last token behind it, as TRL's `PRMTrainer` has it."""
    ids, ends = rows.ids(number).tolist(), rows.mask(number).nonzero()[0].tolist()
    chances = model(input_ids=torch.tensor([ids])).logits[0].softmax(dim=-1)
    return -torch.stack(
        [chances[end, label] for end, label in zip(ends, rows.targets[number].tolist(), strict=True)]
    ).log()


def _numbers(loss: str) -> Callable[[Any, TokenStream, int], Any]:
    def by_hand(model: Any, rows: TokenStream, number: int) -> Any:
        output = model(input_ids=torch.tensor([rows.ids(number).tolist()])).logits[0, 0]
        value = float(np.array(rows.targets[number], np.int32).view(np.float32)[0])
        scale = _scale(loss)
        return NUMBERS[loss](output, (value - scale["mean"]) / scale["spread"])[None]

    return by_hand


def _scale(loss: str) -> dict[str, float]:
    return _PLAIN if loss == "binary_cross_entropy" else _SCALE


def _rated_texts(file: Path, numbers: int = 10) -> TokenStream:
    """Texts of three to nine tokens, each with a number from 0 on."""
    generator = np.random.default_rng(5)
    ids = [generator.integers(4, VOCAB_SIZE, size=int(generator.integers(3, 10))).tolist() for _ in range(12)]
    bits = generator.integers(0, numbers, size=(len(ids), 1)).astype(np.float32).view(np.int32).tolist()
    return write_columns(file, ids, [[0] * len(row) for row in ids], prompts=[len(row) for row in ids], targets=bits)


def _rated_steps(file: Path) -> TokenStream:
    """Answers of one to four steps behind a prompt of two tokens; a step is a token and a separator."""
    generator = np.random.default_rng(6)
    counts = generator.integers(1, 5, size=12).tolist()
    ids = [generator.integers(4, VOCAB_SIZE, size=2 + 2 * count).tolist() for count in counts]
    masks = [[0, 0, *[0, 1] * count] for count in counts]
    ratings = [generator.integers(0, 2, size=count).tolist() for count in counts]
    return write_columns(file, ids, masks, prompts=[2] * len(ids), targets=ratings)


def test_every_loss_of_numbers_has_a_formula() -> None:
    assert NUMBERS.keys() == {card.kind for card in NUMBER_LOSSES}


@pytest.mark.parametrize("name", ["reward", "steps", *NUMBERS])
def test_ten_steps_by_the_formula(name: str, tmp_path: Path) -> None:
    from accelerate import Accelerator

    made, file = make_job(tmp_path, "llama", "full"), tmp_path / "rows.arrow"
    rows: TokenStream
    by_hand: Callable[[Any, TokenStream, int], Any]
    if name == "reward":
        rows, by_hand, form = answer_pairs(file), _bradley_terry, "preference"
    elif name == "steps":
        rows, by_hand, form = _rated_steps(file), _steps, "steps"
    else:
        rows, by_hand = _rated_texts(file, 2 if name == "binary_cross_entropy" else 10), _numbers(name)
        form = "answer" if name == "binary_cross_entropy" else "score"
    changes: dict[str, Any] = {
        "model.head": "token_classification" if name == "steps" else "regression",
        "text.form": form,
        "text.labels": ("wrong", "right") if name == "steps" else ("score",),
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    if name in NUMBERS:
        changes["train.regression"] = {"loss": name, "scales": (_scale(name),)}
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
        loss = torch.cat([by_hand(plain, rows, row) for row in order.rows(number)]).mean()
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
