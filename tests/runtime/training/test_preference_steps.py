"""Ten steps of each loss of preferences beside ten steps by its paper's formula, whose update is written out here."""

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
from ftc.runtime.tasks.rated_answers import RatedCoupling
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.loss_settings import PreferenceSettings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job
from tests.runtime.test_tasks import FORMULAS
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE

__all__ = ["answer_pairs"]

_STEPS, _BATCH = 10, 3
_CPU = torch.device("cpu")


def answer_pairs(file: Path, count: int = 12, seed: int = 3, *, rated: bool = False) -> TokenStream:
    """Prompts with two answers each, of one to four tokens; where they are rated, the first is good or bad."""
    generator = np.random.default_rng(seed)
    ids, masks, prompts, firsts = [], [], [], []
    for _ in range(count):
        prompt = [1, *generator.integers(4, VOCAB_SIZE, size=int(generator.integers(1, 5))).tolist()]
        answers = [generator.integers(4, VOCAB_SIZE, size=int(generator.integers(1, 5))).tolist() for _ in range(2)]
        ids.append([token for answer in answers for token in (*prompt, *answer)])
        masks.append([flag for answer in answers for flag in ([0] * len(prompt) + [1] * len(answer))])
        prompts.append(len(prompt))
        rating = int(generator.integers(0, 2))
        firsts.append([len(prompt) + len(answers[0]), *([rating] if rated else [])])
    return write_columns(file, ids, masks, prompts=prompts, targets=firsts)


def _log_probs(model: Any, rows: TokenStream, number: int) -> list[tuple[torch.Tensor, int]]:
    """Summed log-probability and tokens of both answers, each sequence alone and unpadded."""
    ids, first, begin = rows.ids(number).tolist(), int(rows.targets[number][0]), rows.prompt_length(number)
    found = []
    for line in (ids[:first], ids[first:]):
        logits = model(input_ids=torch.tensor([line])).logits[0].log_softmax(dim=-1)
        places = torch.arange(begin, len(line))
        found.append((logits[places - 1, torch.tensor(line)[places]].sum(), len(places)))
    return found


class AdamW:
    """Loshchilov & Hutter 2019, algorithm 2."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter], decay: float, betas: tuple[float, float]) -> None:
        self.parameters, self.decay, self.betas, self.steps = parameters, decay, betas, 0
        self.first = {name: torch.zeros_like(one) for name, one in parameters.items()}
        self.second = {name: torch.zeros_like(one) for name, one in parameters.items()}

    @torch.no_grad()
    def step(self, rate: float, gradients: dict[str, torch.Tensor], epsilon: float) -> None:
        self.steps += 1
        (one, two), first, second = self.betas, self.first, self.second
        for name, weight in self.parameters.items():
            first[name] = one * first[name] + (1 - one) * gradients[name]
            second[name] = two * second[name] + (1 - two) * gradients[name] ** 2
            mean, spread = first[name] / (1 - one**self.steps), second[name] / (1 - two**self.steps)
            decay = self.decay if weight.ndim >= 2 else 0.0
            weight.sub_(rate * decay * weight + rate * mean / (spread.sqrt() + epsilon))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunJob:
    """A job whose model and plan all losses share."""
    return make_job(tmp_path_factory.mktemp("job"), "llama", "full")


def _kto(rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]], beta: float) -> torch.Tensor:
    """(Ethayarajh et al. 2024), equations 7 and 8, with 1.5 for good answers and 0.8 for bad ones.

    `rows` are log-probabilities of the row's own answer and of another one, both by the reference, and the rating.
    """
    moved = torch.stack([other - reference[1] for _, other, reference, _ in rows]).mean().clamp(min=0).detach()
    losses = []
    for own, _, reference, is_good in rows:
        reward = own - reference[0]
        value = (
            1.5 * torch.sigmoid(beta * (reward - moved)) if is_good else 0.8 * torch.sigmoid(beta * (moved - reward))
        )
        losses.append((1.5 if is_good else 0.8) - value)
    return torch.stack(losses).mean()


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", [*FORMULAS, "kto"])
def test_ten_steps_by_the_formula(name: str, made: RunJob, tmp_path: Path) -> None:
    from accelerate import Accelerator

    weights_of_kto = {"desirable_weight": 1.5, "undesirable_weight": 0.8}
    told, formula = (weights_of_kto, None) if name == "kto" else FORMULAS[name]
    rows = answer_pairs(tmp_path / "pairs.arrow", rated=name == "kto")
    compared = {"loss": name.partition(",")[0], "beta": 0.3, **told}
    changes = {
        "model.head": "lm",
        "text.form": "preference",
        "train.preference": compared,
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), _CPU)
    plain, train = copy.deepcopy(model), settings.train
    scorer: Any = make_scorer(model, settings)
    with torch.no_grad():
        reference = torch.tensor([[float(sum_) for sum_, _ in _log_probs(plain, rows, n)] for n in range(len(rows))])
    if scorer.needs_reference:
        scorer.learn_references(rows, reference)
    parameters = trainable_tensors(model)
    order = BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    optimizer = make_optimizer(parameters, train, model)
    source = StreamRows(rows, order)
    job = Job(train, settings.seeds, model, parameters, scorer, optimizer, source, Accelerator(cpu=True))
    found = list(training_steps(job, 0))

    # The same by hand.
    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        said = [(row, _log_probs(plain, rows, row)) for row in order.rows(number)]
        if formula is None:
            rated = [(c, d, reference[row], rows.is_good(row)) for row, ((c, _), (d, _)) in said]
            loss = _kto(rated, 0.3)
        else:
            losses = [formula(c, r, *reference[row], m, n) for row, ((c, m), (r, n)) in said]
            loss = torch.stack(losses).mean()
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-3, abs=1e-5), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-2, abs=1e-4)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {name: one * clipped for name, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, rule.epsilon)
    assert abs(found[-1].loss - found[0].loss) > 1e-2, "ten steps change the loss by far more than rounding"


def test_a_row_that_nobody_rated_is_neither_good_nor_bad(tmp_path: Path) -> None:
    """Read as bad, it would teach a model to avoid an answer that may be right."""
    rows = write_columns(tmp_path / "pairs.arrow", [[1, 2, 3]], [[0, 1, 1]], prompts=[1], targets=[[3]])
    with pytest.raises(ValueError, match="row 0 has no rating"):
        RatedCoupling(PreferenceSettings(beta=0.1, loss="kto"), 1, {}).groups(rows, [0])
