"""Ten steps of each loss of embeddings beside ten steps by its formula and by sentence-transformers' own function."""

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
from ftc.spec.documents.events import StepDone
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job
from tests.runtime.training.test_preference_steps import AdamW
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE

_STEPS, _BATCH = 10, 6
_CPU = torch.device("cpu")
_TEMPERATURE = 0.1

Vectors = list[list[torch.Tensor]]
"""Of each row, of each of its texts."""


def _cos(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.dot(one, other) / (torch.dot(one, one) * torch.dot(other, other)).sqrt()


def _ranking(rows: Vectors, _: list[float]) -> torch.Tensor:
    losses = []
    for own in rows:
        scores = torch.stack([_cos(own[0], text) / _TEMPERATURE for row in rows for text in row[1:]])
        losses.append(scores.logsumexp(0) - _cos(own[0], own[1]) / _TEMPERATURE)
    return torch.stack(losses).mean()


def _cosent(rows: Vectors, scores: list[float]) -> torch.Tensor:
    total = torch.ones(())
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            if scores[i] > scores[j]:
                total = total + ((_cos(*other) - _cos(*one)) / _TEMPERATURE).exp()
    return total.log()


def _cosine(rows: Vectors, scores: list[float]) -> torch.Tensor:
    return torch.stack([(_cos(*own) - score) ** 2 for own, score in zip(rows, scores, strict=True)]).mean()


FORMULAS: dict[str, Callable[[Vectors, list[float]], torch.Tensor]] = {
    "multiple_negatives": _ranking,
    "cosent": _cosent,
    "cosine": _cosine,
}


def _texts(folder: Path, *, scored: bool) -> tuple[TokenStream, list[list[list[int]]], list[float]]:
    """Twelve rows of two texts with a score, or of a query with one right passage and a wrong one."""
    generator = np.random.default_rng(5)
    rows, scores = [], generator.random(12).round(2).astype(np.float32)
    for _ in range(12):
        sizes = generator.integers(2, 9, size=2 if scored else 3)
        rows.append([[1, *generator.integers(4, VOCAB_SIZE, size=int(size)).tolist()] for size in sizes])
    bits = scores.view(np.int32).tolist()
    stream = write_columns(
        folder / "texts.arrow",
        [[token for text in row for token in text] for row in rows],
        [[flag for text in row for flag in (1, *[0] * (len(text) - 1))] for row in rows],
        prompts=[len(row[0]) for row in rows],
        targets=[[max(map(len, row)), *([one] if scored else [])] for row, one in zip(rows, bits, strict=True)],
    )
    return stream, rows, scores.tolist()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunJob]:
    """A job of an encoder and one of a decoder, whose models all losses share."""
    folder = tmp_path_factory.mktemp("jobs")
    return {kind: make_job(folder, kind, "full") for kind in ("bert", "llama")}


def _settings(made: RunJob, loss: str, pooling: str, *, micro_batch: int, lengths: tuple[int, ...] = ()) -> Settings:
    vectors = {
        "loss": loss,
        "temperature": _TEMPERATURE,
        "pooling": pooling,
        "normalize": True,
        "matryoshka": lengths,
    }
    changes = {
        "model.head": "embedding",
        "text.form": "embed",
        "train.embedding": vectors,
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 2,
        "train.batch_size": _BATCH,
        "train.micro_batch": micro_batch,
    }
    return changed(made.plan, changes).settings


def _steps(settings: Settings, made: RunJob, rows: TokenStream) -> tuple[list[StepDone], Any, BatchOrder]:
    """The steps, a copy of the model before the first one, and the order of the rows."""
    from accelerate import Accelerator

    model = build_model(settings, FolderBase(made.inputs.model_folder), _CPU)
    plain, train = copy.deepcopy(model), settings.train
    parameters = trainable_tensors(model)
    order = BatchOrder(rows.lengths, _BATCH, 2, settings.seeds.order)
    optimizer, scorer = make_optimizer(parameters, train, model), make_scorer(model, settings)
    job = Job(
        train, settings.seeds, model, parameters, scorer, optimizer, StreamRows(rows, order), Accelerator(cpu=True)
    )
    return list(training_steps(job, 0)), plain, order


def _same_steps(
    found: list[StepDone], settings: Settings, weights: dict[str, torch.nn.Parameter], loss_of: Callable[[int], Any]
) -> None:
    """Steps by another loss, updated by AdamW as it is written in its paper."""
    train = settings.train
    update = AdamW(weights, train.optimizer.weight_decay, (train.optimizer.beta1, train.optimizer.beta2))
    for number, step in enumerate(found):
        loss = loss_of(number)
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        # AdamW makes whole steps of gradients that are nothing but rounding; at the first step there is none of it.
        near = 1e-5 if number == 0 else 1e-2
        assert step.loss == pytest.approx(loss.item(), rel=near, abs=1e-5), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=max(near, 1e-3) * 5, abs=1e-4)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {name: one * clipped for name, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, train.optimizer.epsilon)
    assert abs(found[-1].loss - found[0].loss) > 1e-3, "ten steps change the loss by far more than rounding"


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("loss", "kind", "pooling", "lengths"),
    [
        ("multiple_negatives", "bert", "mean", ()),
        ("multiple_negatives", "llama", "last", (4, 8)),
        ("cosent", "bert", "cls", (8,)),
        ("cosine", "llama", "mean", ()),
    ],
)
def test_ten_steps_by_the_formula(
    loss: str, kind: str, pooling: str, lengths: tuple[int, ...], made: dict[str, RunJob], tmp_path: Path
) -> None:
    rows, texts, scores = _texts(tmp_path, scored=loss != "multiple_negatives")
    settings = _settings(made[kind], loss, pooling, micro_batch=2, lengths=lengths)
    found, plain, order = _steps(settings, made[kind], rows)
    take = {"mean": lambda states: states.mean(0), "cls": lambda states: states[0], "last": lambda states: states[-1]}

    def by_hand(step: int) -> torch.Tensor:
        numbers = order.rows(step)
        vectors = [
            [take[pooling](plain(input_ids=torch.tensor([text])).last_hidden_state[0]) for text in texts[number]]
            for number in numbers
        ]
        told = [scores[number] for number in numbers]
        shorter = (
            [[one[:length] for one in row] for row in vectors] for length in (plain.config.hidden_size, *lengths)
        )
        return torch.stack([FORMULAS[loss](one, told) for one in shorter]).sum()

    _same_steps(found, settings, trainable_tensors(plain), by_hand)


@pytest.mark.parametrize("loss", FORMULAS)
def test_ten_steps_beside_sentence_transformers(loss: str, made: dict[str, RunJob], tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses, modules

    rows, texts, scores = _texts(tmp_path, scored=loss != "multiple_negatives")
    settings = _settings(made["bert"], loss, "mean", micro_batch=2, lengths=(8,))
    found, plain, order = _steps(settings, made["bert"], rows)

    folder, width = str(made["bert"].inputs.model_folder), plain.config.hidden_size
    parts = [modules.Transformer(folder), modules.Pooling(width, pooling_mode="mean")]
    kind: Any = SentenceTransformer
    model = kind(modules=parts, device="cpu").eval()
    scale = 1 / _TEMPERATURE
    inner = {
        "multiple_negatives": lambda: losses.MultipleNegativesRankingLoss(model, scale=scale),
        "cosent": lambda: losses.CoSENTLoss(model, scale=scale),
        "cosine": lambda: losses.CosineSimilarityLoss(model),
    }[loss]()
    theirs = losses.MatryoshkaLoss(model, inner, matryoshka_dims=[width, 8])

    def by_them(step: int) -> Any:
        numbers = order.rows(step)
        features = []
        for column in range(len(texts[0])):
            lines = [texts[number][column] for number in numbers]
            longest = max(map(len, lines))
            ids = torch.tensor([[*line, *[0] * (longest - len(line))] for line in lines])
            mask = torch.tensor([[1] * len(line) + [0] * (longest - len(line)) for line in lines])
            features.append({"input_ids": ids, "attention_mask": mask})
        return theirs(features, torch.tensor([scores[number] for number in numbers]))

    weights = {name: one for name, one in trainable_tensors(model).items() if "pooler" not in name}
    assert len(weights) == len(trainable_tensors(plain))
    _same_steps(found, settings, weights, by_them)


def test_micro_batches_change_nothing(made: dict[str, RunJob], tmp_path: Path) -> None:
    """Also of a whole batch at once, which goes through the model a single time."""
    rows, _, _ = _texts(tmp_path, scored=False)
    ways = [_settings(made["bert"], "multiple_negatives", "mean", micro_batch=size) for size in (6, 4)]
    found = [_steps(way, made["bert"], rows)[0] for way in ways]
    for other in found[1:]:
        assert [one.loss for one in other] == pytest.approx([one.loss for one in found[0]], rel=1e-4, abs=1e-6)
        assert [one.grad_norm for one in other] == pytest.approx([one.grad_norm for one in found[0]], rel=1e-3)


def test_both_passes_of_a_micro_batch_drop_the_same(made: dict[str, RunJob], tmp_path: Path) -> None:
    from accelerate import Accelerator

    rows, _, _ = _texts(tmp_path, scored=False)
    settings = _settings(made["bert"], "multiple_negatives", "mean", micro_batch=2)
    model = build_model(settings, FolderBase(made["bert"].inputs.model_folder), _CPU).train()
    for one in model.modules():
        if isinstance(one, torch.nn.Dropout):
            one.p = 0.3
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, __, output: seen.append(output.last_hidden_state.detach().clone()))
    parameters, scorer = trainable_tensors(model), make_scorer(model, settings)
    order = BatchOrder(rows.lengths, _BATCH, 2, settings.seeds.order)
    optimizer = make_optimizer(parameters, settings.train, model)
    job = Job(
        settings.train,
        settings.seeds,
        model,
        parameters,
        scorer,
        optimizer,
        StreamRows(rows, order),
        Accelerator(cpu=True),
    )
    next(training_steps(job, 0))
    assert len(seen) == 6, "three micro-batches, twice"
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[1][: len(seen[0])])


def test_a_passage_that_is_also_right_is_no_wrong_one(made: dict[str, RunJob], tmp_path: Path) -> None:
    texts = [[[1, 5], [1, 6]], [[1, 7], [1, 6]], [[1, 5], [1, 8]], [[1, 9], [1, 10]]]
    rows = write_columns(
        tmp_path / "rows.arrow",
        [[*a, *b] for a, b in texts],
        [[1, 0, 1, 0]] * 4,
        targets=[[2]] * 4,
    )
    scorer: Any = make_scorer(
        build_model(
            settings := _settings(made["bert"], "multiple_negatives", "mean", micro_batch=2),
            FolderBase(made["bert"].inputs.model_folder),
            _CPU,
        ),
        settings,
    )
    groups = scorer.coupling.groups(rows, range(4))
    # The second row has the first one's passage, and the third one its query, so that 6 and 8 are right for 5.
    assert groups.hidden.int().tolist() == [[0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    directions = {5: [1.0, 0.0], 6: [0.6, 0.8], 7: [0.0, 1.0], 8: [0.9, 0.1], 9: [1.0, 0.1], 10: [0.0, -1.0]}
    vectors = [np.array([directions[text[1]] for text in row], np.float32) for row in texts]
    losses, said = scorer.coupling.settled(rows, vectors)
    assert len(losses) == 4
    assert all(math.isfinite(loss) for loss in losses)
    # 9 is nearer to 8 and 6 than to its own passage; 5 finds each of its passages first, as the other one is right too.
    assert [rank for rank, _ in said] == [1, 1, 1, 3]
    assert said[0][1] == pytest.approx(0.6)
