"""Packed rows give the losses and gradients that they give alone, and a model that mixes them is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ftc.runtime.artifacts.fingerprints import BatchDigest
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import packed_batch
from ftc.runtime.training.loop import Job, _accumulate_gradients
from ftc.runtime.training.sources import StreamRows
from ftc.runtime.training.train import prove_isolation
from ftc.spec.batches import BatchOrder, by_length, cut_by_tokens, first_fit_decreasing
from ftc.spec.diagnostics import Refusal
from tests.runtime.jobs import make_job, write_stream

CPU = torch.device("cpu")
_LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))


@given(_LENGTHS, st.integers(8, 80))
@settings(deadline=None)
def test_packs_hold_every_row_once_and_fit(lengths: Any, most: int) -> None:
    rows = by_length(list(range(len(lengths))), lengths)
    packs = first_fit_decreasing(rows, lengths, most)
    assert sorted(row for pack in packs for row in pack) == list(range(len(lengths)))
    sizes = [int(lengths[pack].sum()) for pack in packs]
    assert all(size <= most or len(pack) == 1 for size, pack in zip(sizes, packs, strict=True))
    assert sum(2 * size <= most for size in sizes) <= 1, "two half empty packs would have been one"


@given(_LENGTHS, st.integers(8, 80), st.integers(1, 9))
@settings(deadline=None)
def test_pieces_stay_within_their_tokens(lengths: Any, most: int, size: int) -> None:
    rows = by_length(list(range(len(lengths))), lengths)
    pieces = cut_by_tokens(rows, lengths, size, most)
    assert [row for piece in pieces for row in piece] == rows
    assert all(len(piece) <= size for piece in pieces)
    assert all(len(piece) * int(lengths[piece].max()) <= most or len(piece) == 1 for piece in pieces)


@given(_LENGTHS, st.integers(1, 9), st.integers(0, 3))
@settings(deadline=None)
def test_grouped_batches_hold_every_row_once_an_epoch(lengths: Any, batch_size: int, epoch: int) -> None:
    per_epoch = -(-len(lengths) // batch_size)
    order = BatchOrder(lengths, batch_size, per_epoch, 3, batching="length_grouped")
    batches = [order.rows(step) for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)]
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert batches == [
        BatchOrder(lengths, batch_size, per_epoch, 3, batching="length_grouped").rows(step)
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)
    ]


def test_grouped_batches_need_less_padding_and_come_in_no_order_of_length() -> None:
    lengths = np.random.default_rng(5).integers(5, 500, 2000)

    def padded(batching: Any) -> tuple[int, list[int]]:
        order = BatchOrder(lengths, 8, 250, 3, batching=batching)
        longest = [int(lengths[order.rows(step)].max()) for step in range(250)]
        return sum(longest) * 8, longest

    shuffled, grouped = padded("shuffled"), padded("length_grouped")
    assert grouped[0] < 1.1 * lengths.sum() < 1.6 * lengths.sum() < shuffled[0]
    assert abs(np.corrcoef(grouped[1], range(250))[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("kind", "attention"),
    [
        ("llama", "sdpa"),
        ("llama", "eager"),
        ("qwen2", "sdpa"),
        ("gemma2", "eager"),
        ("gpt2", "sdpa"),
        ("gpt2", "eager"),
    ],
)
def test_each_row_has_the_loss_that_it_has_alone(tmp_path: Path, kind: str, attention: str) -> None:
    job = make_job(tmp_path, kind, "full", model__attention=attention)
    plan, rows = job.plan.settings, write_stream(tmp_path / "rows.arrow", 6, seed=9)
    model: Any = build_model(plan, FolderBase(job.inputs.model_folder), CPU)
    scorer = make_scorer(model, plan)
    numbers = [3, 0, 5, 1]
    with torch.no_grad():
        packed = packed_batch(rows, numbers)
        found = scorer.losses(scorer.logits(model, packed), packed)
        for line, number in enumerate(numbers):
            alone = scorer.batch(rows, [number])
            expected = scorer.losses(scorer.logits(model, alone), alone)
            torch.testing.assert_close(found[packed.owners == line], expected, rtol=1e-5, atol=1e-5)
    prove_isolation(model, scorer, rows, numbers, "float32", CPU)


def test_the_gradient_is_the_same_with_and_without_packing(tmp_path: Path) -> None:
    from accelerate import Accelerator

    job = make_job(tmp_path, "llama", "full")
    plan, rows = job.plan.settings, write_stream(tmp_path / "rows.arrow", 7, seed=4)
    results = []
    for most_tokens, packs in ((None, False), (40, True), (1000, True), (40, False)):
        model: Any = build_model(plan, FolderBase(job.inputs.model_folder), CPU)
        scorer = make_scorer(model, plan)
        changes = {"batch_size": 7, "micro_batch": 7, "steps_per_epoch": 1, "packing": packs}
        work = Job(
            train=plan.train.model_copy(update=changes),
            seeds=plan.seeds,
            model=model,
            parameters=trainable_tensors(model),
            scorer=scorer,
            optimizer=torch.optim.AdamW(model.parameters()),
            source=StreamRows(rows, BatchOrder(rows.lengths, 7, 1, 0, most_tokens=most_tokens, packs=packs)),
            accelerator=Accelerator(cpu=True),
        )
        targets = sum(scorer.num_targets(rows, row) for row in range(7))
        loss, divisor = _accumulate_gradients(work, work.source.at(0), targets, BatchDigest())
        results.append((loss.item() / divisor, {name: p.grad for name, p in trainable_tensors(model).items()}))
    for mean, gradients in results[1:]:
        assert mean == pytest.approx(results[0][0], rel=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, results[0][1][name], rtol=1e-4, atol=1e-6, msg=name)


class _Mixing(nn.Module):
    """A model that takes no notice of positions."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Any:
        return self.model(**{name: value for name, value in inputs.items() if name != "position_ids"})


def test_a_model_that_mixes_packed_rows_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, "llama", "full")
    plan, rows = job.plan.settings, write_stream(tmp_path / "rows.arrow", 6, seed=9)
    model: Any = build_model(plan, FolderBase(job.inputs.model_folder), CPU)
    scorer = make_scorer(model, plan)
    for parameter in model.parameters():
        parameter.data.mul_(8)  # fresh weights hardly look around
    with pytest.raises(Refusal, match="FTC262: packed rows affect each other"):
        prove_isolation(_Mixing(model), scorer, rows, [0, 1, 2, 3], "float32", CPU)
    prove_isolation(model, scorer, rows, [0, 1, 2, 3], "float32", CPU)


@pytest.mark.slow
def test_a_packed_run_has_the_same_loss_curve(tmp_path: Path) -> None:
    job = make_job(tmp_path, "llama", "full")
    job.run("padded")
    padded = [event.loss for event in job.of_kind("step")]
    packed_job = make_job(tmp_path / "packed", "llama", "full", train__packing=True, train__micro_batch_tokens=64)
    record = packed_job.run("packed")
    assert record.status == "finished"
    assert [event.loss for event in packed_job.of_kind("step")] == pytest.approx(padded, rel=1e-4)
