"""Universal Logit Distillation beside the paper's formula in plain torch: two models with different vocabularies."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ftc.runtime.execution.execute import execute
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.distillation import build_teacher, make_teacher, rank_distance
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.events import Event, StepDone
from ftc.spec.documents.streams import TAUGHT, open_stream
from tests.runtime.jobs import changed, make_job
from tests.support.lessons import lesson
from tests.support.streams import write_columns

STEPS, THEIRS = 10, 96
CPU = torch.device("cpu")
IDS = [[1, 5, 6, 7, 8, 2], [1, 9, 8, 7, 2], [1, 5, 5, 5, 5, 2], [1, 6, 4, 9, 2]]
PROMPTS = [2, 3, 2, 4]
OTHER_IDS = [[3, 70, 71, 80, 81, 82, 90], [3, 70, 75, 76, 80], [0, 0], [3, 77, 78, 79, 60, 61]]
OTHER_PROMPTS = [3, 2, 1, 4]
PAIRS = [[0, 1, -1, 3], [-1, 2], [-1, -1, -1, -1], [1]]
"""For each target of the model the teacher's, of rows that the teacher cuts otherwise; the third can't be aligned."""


def other_model(folder: Path) -> Path:
    """A teacher with fewer tokens than the model has."""
    import transformers

    torch.manual_seed(8)
    shape: dict[str, Any] = {"vocab_size": THEIRS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape)).save_pretrained(folder)
    return folder


def streams(folder: Path) -> tuple[Any, Any]:
    """The rows in the tokens of the model and of its teacher."""
    found = []
    nothing: dict[str, Any] = {}
    for name, ids, prompts, more in (
        ("train", IDS, PROMPTS, nothing),
        (TAUGHT, OTHER_IDS, OTHER_PROMPTS, {**nothing, "targets": PAIRS}),
    ):
        masks = [[0] * length + [1] * (len(one) - length) for one, length in zip(ids, prompts, strict=True)]
        found.append(write_columns(folder / f"{name}.arrow", ids, masks, prompts=prompts, **more))
    return found[0], found[1]


def by_formula(model: Any, teacher: Any, weight: float, temperature: float) -> torch.Tensor:
    """Each row alone: cross entropies, and with a partner the sum of differences between sorted probabilities."""
    terms = []
    for ids, length, others, begin, pairs in zip(IDS, PROMPTS, OTHER_IDS, OTHER_PROMPTS, PAIRS, strict=True):
        scores = model(input_ids=torch.tensor([ids])).logits[0, length - 1 : len(ids) - 1]
        own = functional.cross_entropy(scores, torch.tensor(ids[length:]), reduction="none")
        with torch.no_grad():
            said = teacher(input_ids=torch.tensor([others])).logits[0, begin - 1 : len(others) - 1]
        for line, partner in enumerate(pairs):
            term = (1 - weight) * own[line]
            if partner >= 0:
                q = (scores[line] / temperature).softmax(-1).sort(descending=True).values
                p = (said[partner] / temperature).softmax(-1).sort(descending=True).values
                p = torch.cat((p, torch.zeros(len(q) - len(p))))
                term = term + weight * temperature**2 * (q - p).abs().sum()
            terms.append(term)
    return torch.stack(terms).mean()


@pytest.mark.parametrize(
    ("strategy", "weight", "temperature", "chunk"),
    [("full", 0.6, 1.0, None), ("full", 1.0, 2.0, 3), ("lora", 0.6, 1.0, 2)],
)
def test_ten_steps_by_the_formula(
    strategy: str, weight: float, temperature: float, chunk: int | None, tmp_path: Path
) -> None:
    from accelerate import Accelerator

    job = make_job(tmp_path, "llama", strategy)
    asked = lesson(other_model(tmp_path / "teacher"), loss="uld", weight=weight, temperature=temperature)
    asked |= {"stream_sha256": "0" * 64}
    usual: dict[str, Any] = {"train.distillation": asked, "train.loss_chunk_size": chunk, "train.num_steps": STEPS}
    usual["model.pad_id"] = THEIRS + 1  # which the teacher doesn't have
    usual |= {"train.steps_per_epoch": 1, "train.batch_size": 4, "train.micro_batch": 3}
    if strategy == "lora":
        usual["strategy.adapter.dropout"] = 0.0
    settings = changed(job.plan, usual).settings
    rows, taught = streams(tmp_path)
    model = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    teacher: Any = build_teacher(settings, FolderBase(tmp_path / "teacher"), CPU)
    plain, alone = copy.deepcopy(model), copy.deepcopy(teacher)
    parameters = trainable_tensors(model)
    loop = Job(
        train=settings.train,
        seeds=settings.seeds,
        model=model,
        parameters=parameters,
        scorer=make_scorer(model, settings),
        optimizer=make_optimizer(parameters, settings.train, model),
        source=StreamRows(rows, BatchOrder(rows.lengths, 4, 1, settings.seeds.order)),
        accelerator=Accelerator(cpu=True),
        teacher=make_teacher(settings, teacher, rows=taught),
    )
    steps = training_steps(loop, 0)
    for _ in range(STEPS):
        plain.load_state_dict(model.state_dict())
        step = next(steps)
        expected = by_formula(plain, alone, weight, temperature)
        gradients = torch.autograd.grad(expected, list(trainable_tensors(plain).values()), allow_unused=True)
        norm = torch.stack([one.norm() for one in gradients if one is not None]).norm()
        assert step.loss == pytest.approx(expected.item(), rel=1e-5, abs=1e-6), f"step {step.step}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3, abs=1e-5), f"step {step.step}"


@pytest.mark.parametrize(("ours", "theirs"), [(7, 11), (11, 7), (9, 9)])
def test_the_distance_and_its_gradient(ours: int, theirs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, in pieces, against autograd; probabilities of any tokens in any order are the same."""
    monkeypatch.setattr("ftc.runtime.training.distillation._SORTED_AT_ONCE", 2 * max(ours, theirs))
    generator = torch.Generator().manual_seed(ours)
    scores = torch.randn(5, ours, generator=generator, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(5, theirs, generator=generator, dtype=torch.float64).log_softmax(-1)
    q, p = (scores / 1.5).softmax(-1).sort(descending=True).values, wanted.exp().sort(descending=True).values
    most = max(ours, theirs)
    plain = (functional.pad(q, (0, most - ours)) - functional.pad(p, (0, most - theirs))).abs().sum(-1)
    weights = torch.randn(5, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad((plain * weights).sum(), scores)
    found = rank_distance(scores, wanted, 1.5)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), scores)[0], expected)
    mixed = wanted[:, torch.randperm(theirs, generator=generator)]
    torch.testing.assert_close(rank_distance(scores, mixed), rank_distance(scores, wanted))
    own = scores.detach().log_softmax(-1)
    assert float(rank_distance(scores.detach(), own).abs().max()) < 1e-12


@pytest.mark.slow
def test_a_run_with_rows_of_its_own_for_the_teacher_goes_on_bit_by_bit(tmp_path: Path) -> None:
    from ftc.spec.documents.streams import TokenStream

    asked = lesson(other_model(tmp_path / "teacher"), loss="uld", weight=0.5, temperature=1.0)
    job = make_job(tmp_path, eval__metrics=("loss",), eval__max_new_tokens=None)
    train: TokenStream = open_stream(job.inputs.streams_folder / "train.arrow")
    lines = [[number % THEIRS for number in train.ids(row).tolist()] for row in range(len(train))]
    counts = [int(train.mask(row)[1:].sum()) for row in range(len(train))]
    taught = write_columns(
        job.inputs.streams_folder / f"{TAUGHT}.arrow",
        lines,
        [train.mask(row).astype(np.int8).tolist() for row in range(len(train))],
        prompts=train.prompt_lengths.tolist(),
        targets=[list(range(count)) for count in counts],
    )
    plan = changed(job.plan, {"train.distillation": {**asked, "stream_sha256": taught.digest()}})
    job = replace(job, plan=plan, inputs=replace(job.inputs, companions={"teacher": tmp_path / "teacher"}))
    whole = job.run("whole")
    assert whole.status == "finished"

    def stop_after_four(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("broken"), stop_after_four)
    assert job.run("broken").final_weights_sha256 == whole.final_weights_sha256
    other = replace(job, plan=changed(job.plan, {"train.distillation.stream_sha256": "0" * 64}))
    from ftc.spec.diagnostics import Refusal

    with pytest.raises(Refusal, match="taught"):
        other.run("forged")
