"""The output layer runs only where a label is, and nothing changes by that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.artifacts.fingerprints import BatchDigest
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.loop import Job, _accumulate_gradients
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from tests.runtime.jobs import make_job, write_stream

CPU = torch.device("cpu")


def _gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in trainable_tensors(model).items()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "gpt2"])
def test_loss_and_gradients_equal_full_logits(tmp_path: Path, kind: str) -> None:
    job = make_job(tmp_path, kind, "full", model__attention="eager")
    settings, rows = job.plan.settings, write_stream(tmp_path / "rows.arrow", 6, seed=9)

    plain = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    numbers = list(range(6))
    ours = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    scorer = make_scorer(ours, settings)
    batch = scorer.batch(rows, numbers)

    labels = batch.ids.clone().fill_(-100)
    for line, number in enumerate(numbers):
        mask = torch.from_numpy(rows.mask(number).copy())
        labels[line, : len(mask)][mask] = batch.ids[line, : len(mask)][mask]
    full = plain(input_ids=batch.ids, attention_mask=batch.attention).logits.float()
    expected = functional.cross_entropy(full[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    expected.backward()

    logits = scorer.logits(ours, batch)
    assert logits.shape == (int((labels >= 0).sum()), full.shape[-1])
    loss = scorer.losses(logits, batch).sum()
    loss.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    for name, gradient in _gradients(plain).items():
        torch.testing.assert_close(_gradients(ours)[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_generation_still_sees_every_position(tmp_path: Path) -> None:
    job = make_job(tmp_path, "llama", "full")
    model = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), CPU)
    before = model(input_ids=torch.tensor([[1, 5, 6]])).logits
    make_scorer(model, job.plan.settings)
    assert torch.equal(model(input_ids=torch.tensor([[1, 5, 6]])).logits, before)


def test_a_decoder_classifies_by_its_last_token_even_where_that_is_the_padding_token(tmp_path: Path) -> None:
    job = make_job(tmp_path, "llama", "full", classes=3, model__pad_id=2)
    settings = job.plan.settings
    rows = write_stream(tmp_path / "rows.arrow", 5, seed=2)  # every row ends with token 2
    model: Any = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    hidden = [
        model.model(input_ids=torch.from_numpy(rows.ids(row).astype("int64"))[None]).last_hidden_state[0, -1]
        for row in range(5)
    ]
    expected = torch.stack([model.score(state) for state in hidden])
    scorer = make_scorer(model, settings)
    logits = scorer.logits(model, scorer.batch(rows, list(range(5))))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path: Path, classes: int) -> None:
    from accelerate import Accelerator

    kind = "bert" if classes else "llama"
    job = make_job(tmp_path, kind, "full", classes=classes)
    settings, rows = job.plan.settings, write_stream(tmp_path / "rows.arrow", 7, seed=4, classes=classes)
    results = []
    for micro_batch in (1, 3, 7):
        model = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
        scorer = make_scorer(model, settings)
        train = settings.train.model_copy(update={"micro_batch": micro_batch, "batch_size": 7, "steps_per_epoch": 1})
        work = Job(
            train=train,
            seeds=settings.seeds,
            model=model,
            parameters=trainable_tensors(model),
            scorer=scorer,
            optimizer=torch.optim.AdamW(model.parameters()),
            source=StreamRows(rows, BatchOrder(rows.lengths, 7, 1, 0)),
            accelerator=Accelerator(cpu=True),
        )
        targets = sum(scorer.num_targets(rows, row) for row in range(7))
        loss, divisor = _accumulate_gradients(work, work.source.at(0), targets, BatchDigest())
        results.append((loss.item() / divisor, _gradients(model)))
    for mean, gradients in results[1:]:
        assert mean == pytest.approx(results[0][0], rel=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, results[0][1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_second_text_of_a_pair_is_told_from_the_first(tmp_path: Path) -> None:
    job = make_job(tmp_path, "bert", "full", classes=3)
    settings = job.plan.settings
    rows = replace(
        write_stream(tmp_path / "rows.arrow", 4, seed=3, classes=3), prompt_lengths=np.array([2, 3, 2, 3], np.int32)
    )
    model = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    scorer = make_scorer(model, settings)
    with torch.no_grad():
        found = scorer.logits(model, scorer.batch(rows, [0, 1, 2, 3]))
        for number in range(4):
            ids = torch.from_numpy(rows.ids(number).astype("int64"))[None]
            types = (torch.arange(ids.shape[1]) >= rows.prompt_length(number)).long()[None]
            alone = model(input_ids=ids, token_type_ids=types).logits[0]
            torch.testing.assert_close(found[number], alone, rtol=1e-5, atol=1e-6)
