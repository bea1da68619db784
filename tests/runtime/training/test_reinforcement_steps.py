"""Ten steps on sampled answers beside the papers' formulas, computed from the answers' tokens and rewards alone."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.answer_writer import Sampler
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sampling import SampledRows
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.sampled import SampledAnswer
from ftc.spec.documents.streams import TokenStream
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES, reinforcement_loss
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE

_STEPS, _GROUP, _PROMPTS, _LONGEST, _TEMPERATURE, _BETA = 10, 4, 2, 5, 0.7, 0.2
_CPU = torch.device("cpu")
_REWARDS = (
    {"kind": "regex", "pattern": r"\b(4|7|11|13|17|21)\b", "weight": 1.0},
    {"kind": "length", "max_characters": 12, "weight": 0.25},
)
_KINDS: list[Any] = [(card.kind, False) for card in REINFORCEMENT_LOSSES]
_KINDS += [
    (card.kind, True) if card.kind == "grpo" else pytest.param(card.kind, True, marks=pytest.mark.slow)
    for card in REINFORCEMENT_LOSSES
    if "beta" in card.reads
]


def _decode(ids: list[int]) -> str:
    return " ".join(map(str, ids))


def _prompts(folder: Path) -> TokenStream:
    """Six prompts of two to five tokens."""
    generator = np.random.default_rng(3)
    ids = [[1, *generator.integers(4, VOCAB_SIZE, size=int(generator.integers(1, 5))).tolist()] for _ in range(6)]
    return write_columns(
        folder / "prompts.arrow", ids, [[0] * len(one) for one in ids], prompts=[len(one) for one in ids]
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunJob]:
    """Jobs whose model and plan all losses share, by strategy."""
    root = tmp_path_factory.mktemp("job")
    return {kind: make_job(root / kind, "llama", kind) for kind in ("full", "lora")}


def _loop(made: dict[str, RunJob], folder: Path, loss: str, *, with_base: bool, **changes: Any) -> tuple[Job, Any]:
    job = made["lora" if with_base else "full"]
    sampling = {
        "rewards": _REWARDS,
        "loss": loss,
        "group_size": _GROUP,
        "max_new_tokens": _LONGEST,
        "temperature": _TEMPERATURE,
        "top_k": 0,
        "beta": _BETA if with_base else 0.0,
    }
    usual = {
        "text.form": "sample",
        "train.sampling": sampling,
        "seeds.sampling": 11,
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 3,
        "train.batch_size": _GROUP * _PROMPTS,
        "train.micro_batch": 3,
        "eval.batch_size": 5,
    }
    if with_base:
        usual["strategy.adapter.dropout"] = 0.0
    settings = changed(job.plan, usual | changes).settings
    model = build_model(settings, FolderBase(job.inputs.model_folder), _CPU)
    scorer: Any = make_scorer(model, settings)
    from accelerate import Accelerator

    parameters, rows = trainable_tensors(model), _prompts(folder)
    accelerator = Accelerator(cpu=True)
    source = SampledRows(model, scorer, rows, settings, _decode, StopRequest(), accelerator)
    optimizer = make_optimizer(parameters, settings.train, model)
    loop = Job(settings.train, settings.seeds, model, parameters, scorer, optimizer, source, accelerator)
    return loop, model


def _earned(answer: SampledAnswer) -> float:
    """What the rewards above say, written a second time."""
    text = _decode(list(answer.ids))
    found = 1.0 if re.search(_REWARDS[0]["pattern"], text) else 0.0  # type: ignore[call-overload]
    return found + (0.25 if 1 <= len(text) <= 12 else 0.0)


def _by_formula(
    model: Any, rows: TokenStream, answers: tuple[SampledAnswer, ...], loss: str, *, with_base: bool
) -> torch.Tensor:
    """The loss of a step, each answer alone and unpadded."""
    rewards = torch.tensor([_earned(one) for one in answers], dtype=torch.float64).view(-1, _GROUP)
    if loss == "rloo":
        gained = (rewards - (rewards.sum(dim=1, keepdim=True) - rewards) / (_GROUP - 1)).view(-1)
    else:
        gained = (rewards - rewards.mean(dim=1, keepdim=True)).view(-1)
    if loss in ("grpo", "dapo"):
        gained = gained / (rewards.std(dim=1, keepdim=True) + 1e-4).expand(-1, _GROUP).reshape(-1)
    terms = []
    for advantage, answer in zip(gained, answers, strict=True):
        head, tail = rows.ids(answer.prompt).tolist(), torch.tensor(answer.ids)

        def log_probs(head: list[int] = head, tail: torch.Tensor = tail) -> torch.Tensor:
            logits = model(input_ids=torch.tensor([[*head, *tail.tolist()]])).logits[0, len(head) - 1 : -1]
            found: torch.Tensor = (logits / _TEMPERATURE).log_softmax(dim=-1)[torch.arange(len(tail)), tail]
            return found

        own = log_probs()
        term = -float(advantage) * torch.exp(own - own.detach())
        if with_base:
            with torch.no_grad(), model.disable_adapter():
                base = log_probs()
            term = term + _BETA * (torch.exp(base - own) - (base - own) - 1)
        terms.append(term)
    match loss:
        case "grpo":
            return torch.stack([one.mean() for one in terms]).mean()
        case "dr_grpo":
            return torch.cat(terms).sum() / (len(terms) * _LONGEST)
        case "dapo":
            return torch.cat(terms).mean()
        case _:
            return torch.stack([one.sum() for one in terms]).mean()


@pytest.mark.parametrize(("loss", "with_base"), _KINDS)
def test_ten_steps_by_the_formula(loss: str, with_base: bool, made: dict[str, RunJob], tmp_path: Path) -> None:
    loop, model = _loop(made, tmp_path, loss, with_base=with_base)
    rows, plain, learned = _prompts(tmp_path), copy.deepcopy(model), 0
    steps = training_steps(loop, 0)
    for _ in range(_STEPS):
        plain.load_state_dict(model.state_dict())  # the weights before the step
        step = next(steps)
        answers = tuple(one for one in loop.source.answers if isinstance(one, SampledAnswer))
        expected = _by_formula(plain, rows, answers, loss, with_base=with_base)
        weights = trainable_tensors(plain)
        gradients = torch.autograd.grad(expected, list(weights.values()), allow_unused=True)
        norm = torch.stack([one.norm() for one in gradients if one is not None]).norm()
        assert step.loss == pytest.approx(expected.item(), rel=1e-3, abs=1e-5), f"step {step.step}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-2, abs=1e-4), f"step {step.step}"
        assert step.sampled is not None
        assert step.sampled.reward == pytest.approx(np.mean([_earned(one) for one in answers]))
        learned += norm.item() > 1e-3
    assert learned >= _STEPS // 2, "most steps have something to learn from"


def test_an_answer_is_its_own_seeds_whatever_stands_beside_it(made: dict[str, RunJob], tmp_path: Path) -> None:
    loop, _ = _loop(made, tmp_path, "grpo", with_base=False)
    alone, _ = _loop(made, tmp_path, "grpo", with_base=False, **{"eval.batch_size": 1})
    loop.source.at(4), alone.source.at(4)
    assert [one.ids for one in loop.source.answers] == [one.ids for one in alone.source.answers]
    again = loop.source.answers
    loop.source.at(5)
    assert [one.ids for one in loop.source.answers] != [one.ids for one in again]
    loop.source.at(4)
    assert loop.source.answers == again, "a step's answers depend on the weights and the step alone"


def test_tokens_are_drawn_by_their_probabilities() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    wanted = (logits / 0.8).softmax(dim=-1)[0]
    sampler = Sampler([5], 0.8, 0, _CPU)
    draws = [int(sampler(logits, logits).argmax()) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(draws), minlength=4) / len(draws)
    assert torch.allclose(shares, wanted, atol=0.03), shares
    few = Sampler([5], 0.8, 2, _CPU)
    assert {int(few(logits, logits).argmax()) for _ in range(200)} == {0, 1}, "only the two likeliest stay"


def test_each_card_is_one_of_the_papers() -> None:
    assert [card.kind for card in REINFORCEMENT_LOSSES] == ["grpo", "dr_grpo", "dapo", "rloo"]
    assert reinforcement_loss("rloo").baseline == "others"
