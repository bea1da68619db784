"""Weights, gradients and optimizer state in bfloat16: the steps of a plain loop, small updates kept, exact resumes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.execution.execute import execute
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.step_log import first_difference, read_step_log
from ftc.spec.documents.streams import open_stream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job, make_job
from tests.runtime.test_resume import in_child

optimi = pytest.importorskip("optimi")

NARROW: dict[str, Any] = {
    "strategy": "full",
    "train__precision": "pure_bfloat16",
    "train__optimizer__kind": "adamw_kahan",
    "train__optimizer__beta2": 0.99,
    "train__learning_rate": 1e-3,
    "train__fused": False,
}


def by_hand(job: Job, steps: int) -> Iterator[tuple[float, nn.Module]]:
    """(loss, model) of training in bfloat16 by torch, transformers and optimi alone, on the job's batches."""
    train, rows = job.plan.settings.train, open_stream(job.inputs.streams_folder / "train.arrow")
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, job.plan.settings.seeds.order)
    model = AutoModelForCausalLM.from_pretrained(
        job.inputs.model_folder, dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    optimizer = optimi.AdamW(
        model.parameters(), lr=train.learning_rate, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0, triton=False
    )
    source = StreamRows(rows, order)
    for step in range(steps):
        fed = source.at(step)
        targets = sum(int(rows.mask(row).sum()) for row in fed.numbers)
        total = 0.0
        for piece in fed.micro_batches(train.micro_batch, 0, 1):
            for row in piece:
                ids, mask = torch.tensor(rows.ids(row)), torch.tensor(rows.mask(row))
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    logits = model(input_ids=ids[None].long()).logits[0, :-1].float()
                loss = nn.functional.cross_entropy(logits[mask[1:] > 0], ids[1:][mask[1:] > 0].long(), reduction="sum")
                (loss / targets).backward()
                total += float(loss.detach()) / targets
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        yield total, model


_PARTS = ("exp_avg", "exp_avg_sq", "kahan_comp", "step")


@pytest.mark.slow
def test_losses_are_those_of_a_loop_by_hand_and_all_that_is_saved_is_bfloat16(tmp_path: Path) -> None:
    job = make_job(tmp_path, **NARROW)
    record = job.run()
    steps = job.of_kind("step")
    losses, model = [], nn.Module()
    for loss, model in by_hand(job, len(steps)):  # noqa: B007 - the last one is compared
        losses.append(loss)
    assert [step.loss for step in steps] == pytest.approx(losses, abs=0.005)
    assert record.is_finished
    folder = job.folder()
    result = read_tensors(folder.path / "model" / "model.safetensors")
    assert {one.dtype for one in result.values()} == {torch.bfloat16}
    last = folder.checkpoints / "step-00000012"
    theirs, mine = dict(model.named_parameters()), read_tensors(last / "trainable.safetensors")
    far = max(float((one - theirs[name].detach()).abs().max()) for name, one in mine.items())
    assert far < 0.02, far
    kept = read_tensors(last / "optimizer.safetensors")
    widths = {part: {one.dtype for name, one in kept.items() if name.endswith(f"/{part}")} for part in _PARTS}
    assert widths == {part: {torch.int32 if part == "step" else torch.bfloat16} for part in _PARTS}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    job = make_job(tmp_path, **NARROW)
    whole = job.run("whole")

    def killed() -> None:
        def listen(event: object) -> None:
            if getattr(event, "kind", "") == "step" and getattr(event, "step", 0) == 8:
                os._exit(9)

        execute(job.plan, job.inputs, job.folder("killed"), listen)

    assert in_child(killed) == 9
    resumed = job.run("killed")
    assert [event.step for event in job.of_kind("resumed")] == [6]
    before, after = (read_step_log(job.folder(name).step_log) for name in ("whole", "killed"))
    assert first_difference(before, after, 0, 12) is None
    assert resumed.final_weights_sha256 == whole.final_weights_sha256


def test_updates_that_bfloat16_rounds_away_add_up(tmp_path: Path) -> None:
    """A step of 1e-5 is a hundredth of the smallest change of a weight near 1."""
    train = make_job(tmp_path, **NARROW).plan.settings.train.model_copy(update={"learning_rate": 1e-5})
    mine, plain = (nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16)) for _ in range(2))
    optimizers = (
        make_optimizer({"w": mine}, train, nn.Module()),
        torch.optim.AdamW([plain], lr=1e-5, betas=(0.9, 0.99), weight_decay=0.0),
    )
    for _ in range(1000):
        for optimizer, weight in zip(optimizers, (mine, plain), strict=True):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
    assert torch.equal(plain, torch.ones_like(plain))
    assert mine.detach().float().mean() == pytest.approx(1 - 1000 * 1e-5, abs=2**-8)
