"""Each head's loss is that of transformers itself, and no row's loss depends on the rows beside it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.preference import LOSSES
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.number_losses import NUMBER_LOSSES
from ftc.spec.preference_losses import PREFERENCE_LOSSES
from tests.runtime.jobs import changed, make_job
from tests.support.streams import write_columns

CPU = torch.device("cpu")
IDS = [[1, 5, 6, 7, 8, 9, 2], [1, 9, 8, 7, 2], [1, 5, 5, 5, 5, 2]]


def settings_of(root: Path, kind: str, head: str, **changes: Any) -> tuple[Settings, Any]:
    """Settings for a head on a tiny model, and the model."""
    job = make_job(root, kind, "full", classes=0 if head == "lm" else 3)
    plan = changed(job.plan, {"model.head": head, **{path.replace("__", "."): v for path, v in changes.items()}})
    return plan.settings, build_model(plan.settings, FolderBase(job.inputs.model_folder), CPU)


def loss_of(scorer: Any, model: Any, rows: TokenStream, numbers: list[int]) -> torch.Tensor:
    batch = scorer.batch(rows, numbers)
    losses: torch.Tensor = scorer.losses(scorer.logits(model, batch), batch)
    assert len(losses) == len(batch.owners) == sum(scorer.num_targets(rows, number) for number in numbers)
    return losses


def row(rows: TokenStream, number: int) -> torch.Tensor:
    return torch.from_numpy(rows.ids(number).astype("int64"))[None]


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2"])
def test_words(tmp_path: Path, kind: str) -> None:
    masks = [[0, 1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 0]]
    tags = [[0, 2, 1], [1, 0], [2, 2]]
    rows = write_columns(tmp_path / "rows.arrow", IDS, masks, targets=tags)
    settings, model = settings_of(tmp_path, kind, "token_classification")
    found = loss_of(make_scorer(model, settings), model, rows, [0, 1, 2])
    expected = []
    for number in range(3):
        labels = torch.full((1, len(IDS[number])), -100)
        labels[0, torch.tensor(masks[number]).bool()] = torch.tensor(tags[number])
        expected.append(model(input_ids=row(rows, number), labels=labels).loss * len(tags[number]))
    same(found.sum(), torch.stack(expected).sum())


def test_several_labels(tmp_path: Path) -> None:
    lengths = [len(ids) for ids in IDS]
    masks = [[0] * length for length in lengths]
    rows = write_columns(tmp_path / "rows.arrow", IDS, masks, prompts=lengths, targets=[[0, 2], [], [1]])
    settings, model = settings_of(tmp_path, "bert", "multi_label")
    scorer = make_scorer(model, settings)
    found = loss_of(scorer, model, rows, [0, 1, 2])
    wanted = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for number in range(3):
        same(found[number], model(input_ids=row(rows, number), labels=wanted[number : number + 1]).loss)
    batch = scorer.batch(rows, [0, 1, 2])
    logits = torch.tensor([[1.0, -1.0, 2.0], [-1.0, -1.0, -1.0], [0.1, -0.1, -3.0]])
    assert scorer.predictions(logits, batch) == [(0, 2), (), (0,)]


_NUMBERS = [[4.0, -1.0, 250.0], [2.5, 0.0, 100.0], [1.0, 3.0, 175.0]]


def _rated(folder: Path) -> TokenStream:
    bits = np.array(_NUMBERS, np.float32).view(np.int32).tolist()
    lengths = [len(ids) for ids in IDS]
    texts = [[repr(number) for number in row] for row in _NUMBERS]
    masks = [[0] * length for length in lengths]
    return write_columns(folder / "rows.arrow", IDS, masks, prompts=lengths, targets=bits, texts=texts)


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("loss", [card.kind for card in NUMBER_LOSSES if card.takes == "numbers"])
def test_numbers(tmp_path: Path, kind: str, loss: str) -> None:
    rows, means, spreads = _rated(tmp_path), torch.tensor([2.5, 0.0, 175.0]), torch.tensor([1.5, 2.0, 60.0])
    scales = [{"mean": float(mean), "spread": float(spread)} for mean, spread in zip(means, spreads, strict=True)]
    rated = {"loss": loss, "scales": tuple(scales)}
    settings, model = settings_of(tmp_path, kind, "regression", train__regression=rated, text__form="score")
    plain = copy.deepcopy(model)  # of a decoder, the scorer's hook says where a row ends
    scorer = make_scorer(model, settings)
    found = loss_of(scorer, model, rows, [0, 1, 2])
    wanted = (torch.tensor(_NUMBERS) - means) / spreads
    batch = scorer.batch(rows, [0, 1, 2])
    torch.testing.assert_close(batch.targets, wanted)
    outputs = scorer.logits(model, batch)
    assert model.config.problem_type == "regression"
    assert list(model.config.id2label.values()) == list(settings.text.labels)
    for number in range(3):
        output = plain(input_ids=row(rows, number), labels=wanted[number : number + 1])
        apart = (output.logits[0] - wanted[number]).abs()
        by_hand = {"mse": apart**2, "mae": apart, "huber": torch.where(apart < 1, apart**2 / 2, apart - 0.5)}[loss]
        same(found[number], by_hand.mean())
        same(outputs[number], output.logits[0])
        if loss == "mse":
            same(found[number], output.loss)  # transformers' own
    predicted = torch.tensor(scorer.predictions(outputs, batch))
    torch.testing.assert_close(predicted, outputs * spreads + means)


def test_answers_in_a_context(tmp_path: Path) -> None:
    places = [[3, 4], [0, 0], [2, 4]]
    offsets = [[-1, -1] * 2 + [n for i in range(len(ids) - 3) for n in (i, i + 1)] + [-1, -1] for ids in IDS]
    rows = write_columns(
        tmp_path / "rows.arrow",
        IDS,
        [[0] * len(ids) for ids in IDS],
        prompts=[2, 2, 2],
        targets=places,
        offsets=offsets,
    )
    settings, model = settings_of(tmp_path, "bert", "span", eval__max_answer_tokens=2)
    scorer = make_scorer(model, settings)
    found = loss_of(scorer, model, rows, [0, 1, 2]).view(3, 2).mean(dim=1)
    for number, (begin, end) in enumerate(places):
        types = torch.tensor([[0, 0, *[1] * (len(IDS[number]) - 2)]])
        output = model(
            input_ids=row(rows, number),
            token_type_ids=types,
            start_positions=torch.tensor([begin]),
            end_positions=torch.tensor([end]),
        )
        same(found[number], output.loss)


def test_the_best_answer_is_the_best_pair_that_may_be_one(tmp_path: Path) -> None:
    offsets = [[-1, -1, 0, 1, 2, 3, 4, 5, -1, -1]]
    rows = write_columns(tmp_path / "r.arrow", [[1, 5, 6, 7, 2]], [[0] * 5], targets=[[1, 1]], offsets=offsets)
    settings, model = settings_of(tmp_path, "bert", "span", eval__max_answer_tokens=2)
    scorer = make_scorer(model, settings)
    begins, ends = [9.0, 1.0, 5.0, 2.0, 8.0], [9.0, 4.0, 1.0, 3.0, 8.0]
    found = scorer.predictions(torch.tensor([begins, ends]), scorer.batch(rows, [0]))
    # Ends before begins and stretches of three tokens don't count, nor does what is no part of the context.
    assert found == [(18.0, 8.0, 2.0, 5.0)]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_encoder_decoder(tmp_path: Path, kind: str) -> None:
    masks = [[0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]]
    prompts = [4, 2, 5]
    rows = write_columns(tmp_path / "rows.arrow", IDS, masks, prompts=prompts)
    start = 0 if kind == "t5" else 2
    settings, model = settings_of(tmp_path, kind, "lm", model__family="encoder_decoder", model__decoder_start_id=start)
    found = loss_of(make_scorer(model, settings), model, rows, [0, 1, 2])
    expected = []
    for number in range(3):
        prompt, answer = row(rows, number)[:, : prompts[number]], row(rows, number)[:, prompts[number] :].contiguous()
        expected.append(model(input_ids=prompt, labels=answer).loss * answer.numel())
    same(found.sum(), torch.stack(expected).sum())


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.log1p(torch.exp(x))


_BETA, _SHARE = 0.3, 0.2
FORMULAS: dict[str, tuple[dict[str, Any], Callable[..., torch.Tensor]]] = {
    # c, r: summed log-probabilities; c0, r0: the reference's; m, n: tokens of the answers
    "dpo": ({}, lambda c, r, c0, r0, m, n: _softplus(-_BETA * ((c - c0) - (r - r0)))),
    "dpo, smoothed": (
        {"label_smoothing": _SHARE},
        lambda c, r, c0, r0, m, n: (
            (1 - _SHARE) * _softplus(-_BETA * ((c - c0) - (r - r0))) + _SHARE * _softplus(_BETA * ((c - c0) - (r - r0)))
        ),
    ),
    "dpo, per token": (
        {"per_token": True},
        lambda c, r, c0, r0, m, n: _softplus(-_BETA * ((c - c0) / m - (r - r0) / n)),
    ),
    "dpo, RPO": (
        {"sft_weight": 0.7},
        lambda c, r, c0, r0, m, n: _softplus(-_BETA * ((c - c0) - (r - r0))) - 0.7 * c / m,
    ),
    "robust_dpo": (
        {"label_smoothing": _SHARE},
        lambda c, r, c0, r0, m, n: (
            (
                (1 - _SHARE) * _softplus(-_BETA * ((c - c0) - (r - r0)))
                - _SHARE * _softplus(_BETA * ((c - c0) - (r - r0)))
            )
            / (1 - 2 * _SHARE)
        ),
    ),
    "ipo": (
        {"per_token": True},
        lambda c, r, c0, r0, m, n: ((c - c0) / m - (r - r0) / n - 1 / (2 * _BETA)) ** 2,
    ),
    "hinge": ({}, lambda c, r, c0, r0, m, n: torch.clamp(1 - _BETA * ((c - c0) - (r - r0)), min=0)),
    "simpo": (
        {"per_token": True, "gamma": 0.5},
        lambda c, r, c0, r0, m, n: _softplus(0.5 - _BETA * (c / m - r / n)),
    ),
    "orpo": (
        {"per_token": True, "sft_weight": 1.0},
        lambda c, r, c0, r0, m, n: (
            -c / m + _BETA * _softplus(-(torch.logit(torch.exp(c / m)) - torch.logit(torch.exp(r / n))))
        ),
    ),
    "cpo": ({"sft_weight": 1.0}, lambda c, r, c0, r0, m, n: _softplus(-_BETA * (c - r)) - c / m),
}
"""What each paper defines, for `beta` 0.3, and the settings that a plan has for it."""


def test_every_loss_of_preferences_has_a_formula() -> None:
    pairs = {card.kind for card in PREFERENCE_LOSSES if not card.rates}
    assert {name.partition(",")[0] for name in FORMULAS} == pairs == set(LOSSES)


@pytest.mark.parametrize("is_scored", [False, True])
def test_pairs_of_one_prompt_share_its_weight(tmp_path: Path, is_scored: bool) -> None:
    ids, masks = (
        [[1, 5, 6, 2, 1, 5, 7, 8, 2], [1, 9, 2, 1, 9, 9, 2]],
        [[0, 0, 1, 1, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 1]],
    )
    plain = write_columns(tmp_path / "plain.arrow", ids, masks, prompts=[2, 2], targets=[[4], [3]])
    bits = np.array([0.625, 2.5], np.float32).view(np.int32).tolist()
    heavy = [[first, one] for first, one in zip((4, 3), bits, strict=True)]
    weighted = write_columns(tmp_path / "weighted.arrow", ids, masks, prompts=[2, 2], targets=heavy)
    told: dict[str, Any] = {} if is_scored else {"train__preference": {"loss": "dpo", "beta": _BETA}}
    settings, model = settings_of(
        tmp_path, "llama", "regression" if is_scored else "lm", text__form="preference", **told
    )
    scorer = make_scorer(model, settings)
    losses = [loss_of(scorer, model, rows, [0, 1]) for rows in (plain, weighted)]
    same(losses[1], losses[0] * torch.tensor([0.625, 2.5]))


@pytest.mark.parametrize("name", FORMULAS)
def test_preferences_by_the_formula_itself(name: str, tmp_path: Path) -> None:
    chosen, rejected = [[1, 5, 6, 2], [1, 9, 2]], [[1, 5, 7, 8, 2], [1, 9, 9, 2]]
    masks = [[0, 0, 1, 1, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 1]]
    both = [[*a, *b] for a, b in zip(chosen, rejected, strict=True)]
    rows = write_columns(tmp_path / "rows.arrow", both, masks, prompts=[2, 2], targets=[[4], [3]])
    told, formula = FORMULAS[name]
    kind = name.partition(",")[0]
    compared = {"loss": kind, "beta": _BETA, **told}
    settings, model = settings_of(tmp_path, "llama", "lm", train__preference=compared, text__form="preference")
    scorer: Any = make_scorer(model, settings)
    references = torch.tensor([[-3.0, -4.0], [-2.5, -1.0]])
    if scorer.needs_reference:
        scorer.learn_references(rows, references)
    found = loss_of(scorer, model, rows, [0, 1])

    def log_prob(ids: list[int], begin: int) -> torch.Tensor:
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
        return sum((logits[place - 1, ids[place]] for place in range(begin, len(ids))), torch.zeros(()))

    for number in range(2):
        c, r = log_prob(chosen[number], 2), log_prob(rejected[number], 2)
        lengths = len(chosen[number]) - 2, len(rejected[number]) - 2
        same(found[number], formula(c, r, *references[number], *lengths))
    batch = scorer.batch(rows, [1])
    ((first, second, margin),) = scorer.predictions(scorer.logits(model, batch), batch)
    gained = (first + 2.5, second + 1.0) if scorer.needs_reference else (first, second)
    lengths = (1, 2) if told.get("per_token") else (1, 1)
    assert margin == pytest.approx(_BETA * (gained[0] / lengths[0] - gained[1] / lengths[1]), rel=1e-5)


def test_rewards(tmp_path: Path) -> None:
    chosen, rejected = [[1, 5, 6, 2], [1, 9, 2]], [[1, 5, 7, 8, 2], [1, 9, 9, 2]]
    both = [[*a, *b] for a, b in zip(chosen, rejected, strict=True)]
    masks = [[0] * len(row) for row in both]
    rows = write_columns(tmp_path / "rows.arrow", both, masks, prompts=[2, 2], targets=[[4], [3]])
    settings, model = settings_of(tmp_path, "llama", "regression", text__form="preference", text__labels=("reward",))
    plain = copy.deepcopy(model)
    scorer = make_scorer(model, settings)
    batch = scorer.batch(rows, [0, 1])
    found, predicted = loss_of(scorer, model, rows, [0, 1]), scorer.predictions(scorer.logits(model, batch), batch)
    for number in range(2):
        c, r = (plain(input_ids=torch.tensor([side[number]])).logits[0, 0] for side in (chosen, rejected))
        same(found[number], _softplus(r - c))
        torch.testing.assert_close(torch.tensor(predicted[number]), torch.stack((c, r, c - r)), rtol=1e-5, atol=1e-6)


def test_windows_of_a_question_give_one_answer(tmp_path: Path) -> None:
    texts = [["Ada wrote it", "Ada"], ["Ada wrote it", "Ada"], ["nobody did"]]
    rows = write_columns(
        tmp_path / "rows.arrow", IDS, [[0] * len(ids) for ids in IDS], rows=[4, 4, 9], targets=[[0, 0]] * 3, texts=texts
    )
    settings, _ = settings_of(tmp_path, "bert", "span", eval__max_answer_tokens=2)
    measures = Measures(settings, rows, tmp_path / "model-bert")
    scores = [
        RowScore(0, 1.0, 2, (5.0, 1.0, 4, 9)),
        RowScore(1, 1.0, 2, (2.0, 3.0, 0, 3)),
        RowScore(2, 1.0, 2, (2.0, -math.inf, 0, 0)),
    ]
    assert measures.said(scores) == {0: "Ada", 2: "(no answer)"}
    assert measures.statistics(["exact_match"], scores, {})["exact_match"].observed == 1
    assert measures.statistics(["answer_f1"], scores, {})["answer_f1"].observed == 1
    assert measures.expected(2) == "(no answer)"
