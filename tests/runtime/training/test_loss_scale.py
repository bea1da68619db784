"""float16 with loss scaling: the same losses as a loop by hand, overflows that are skipped and counted, and resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.training.loss_scale import LossScale
from ftc.runtime.training.selection import Progress
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.step_log import first_difference, read_step_log
from ftc.spec.documents.streams import open_stream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job, make_job
from tests.runtime.test_resume import in_child

HALF: dict[str, Any] = {"train__precision": "float16"}
TOO_LARGE = 2.0**24
"""A scale that overflows in the first steps of a tiny model."""


@pytest.fixture
def overflowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses begin with a scale that is too large."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=TOO_LARGE))


def by_hand(job: Job, steps: int) -> Iterator[tuple[float, bool]]:
    """(loss, skipped) of full training by torch and transformers alone, on the job's batches."""
    train, rows = job.plan.settings.train, open_stream(job.inputs.streams_folder / "train.arrow")
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, job.plan.settings.seeds.order)
    model = AutoModelForCausalLM.from_pretrained(
        job.inputs.model_folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=train.learning_rate, weight_decay=0.0)
    scaler = torch.amp.GradScaler("cpu")
    source = StreamRows(rows, order)
    for step in range(steps):
        fed = source.at(step)
        targets = sum(int(rows.mask(row).sum()) for row in fed.numbers)
        total = 0.0
        for piece in fed.micro_batches(train.micro_batch, 0, 1):
            for row in piece:
                ids, mask = torch.tensor(rows.ids(row)), torch.tensor(rows.mask(row))
                with torch.autocast("cpu", dtype=torch.float16):
                    logits = model(input_ids=ids[None].long()).logits[0, :-1].float()
                loss = nn.functional.cross_entropy(logits[mask[1:] > 0], ids[1:][mask[1:] > 0].long(), reduction="sum")
                scaler.scale(loss / targets).backward()
                total += float(loss.detach()) / targets
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        yield total, scaler.get_scale() < before


@pytest.mark.slow
@pytest.mark.usefixtures("overflowing")
def test_losses_and_skipped_steps_are_those_of_a_loop_by_hand(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", train__learning_rate=1e-3, **HALF)
    record = job.run()
    steps = job.of_kind("step")
    expected = list(by_hand(job, len(steps)))
    assert [step.is_skipped for step in steps] == [skipped for _, skipped in expected]
    assert [step.loss for step in steps] == pytest.approx([loss for loss, _ in expected], abs=2e-3)
    assert record.skipped_steps == sum(step.is_skipped for step in steps)
    assert record.skipped_steps is not None
    assert 0 < record.skipped_steps < len(steps)
    assert [step.loss_scale for step in steps][:2] == [TOO_LARGE, TOO_LARGE / 2]


@pytest.mark.slow
@pytest.mark.usefixtures("overflowing")
def test_a_killed_run_goes_on_with_the_same_scale(tmp_path: Path) -> None:
    job = make_job(tmp_path, **HALF)
    whole = job.run("whole")
    assert whole.skipped_steps

    def killed() -> None:
        job.events = []

        def listen(event: object) -> None:
            if getattr(event, "kind", "") == "step" and getattr(event, "step", 0) == 8:
                os._exit(9)

        from ftc.runtime.execution.execute import execute

        execute(job.plan, job.inputs, job.folder("killed"), listen)

    assert in_child(killed) == 9
    resumed = job.run("killed")
    assert [event.step for event in job.of_kind("resumed")] == [6]
    before, after = (read_step_log(job.folder(name).step_log) for name in ("whole", "killed"))
    assert first_difference(before, after, 0, 12) is None
    assert (resumed.final_weights_sha256, resumed.skipped_steps) == (whole.final_weights_sha256, whole.skipped_steps)
    states = [
        json.loads((job.folder(name).checkpoints / "step-00000012" / "state.json").read_text())["progress"]
        for name in ("whole", "killed")
    ]
    assert states[0]["loss_scale"] == states[1]["loss_scale"]


def test_without_scaling_nothing_is_kept(tmp_path: Path) -> None:
    scale = LossScale(is_on=False, device=torch.device("cpu"))
    assert (scale.factor, scale.adapt(), scale.state) == (1.0, False, None)
    assert not {"loss_scale", "skipped_steps"} & Progress().to_json().keys()
    record = make_job(tmp_path).run()
    assert record.skipped_steps is None
    assert "skipped_steps" not in record.to_json()


def test_a_forward_pass_that_overflows_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, **HALF)
    from ftc.runtime.tasks.language import LanguageScorer

    plain = LanguageScorer.losses
    monkeypatch.setattr(LanguageScorer, "losses", lambda *one, **named: plain(*one, **named) * float("inf"))
    with pytest.raises(Refusal) as refused:
        job.run()
    (found,) = refused.value.diagnostics
    assert found.code == "FTC626"
    assert "65,504" in found.notes[0]
    assert found.path == "train.precision"


def test_the_scale_follows_overflows() -> None:
    weight = nn.Parameter(torch.ones(()))
    optimizer, scale = torch.optim.SGD([weight], lr=1.0), LossScale(is_on=True, device=torch.device("cpu"))
    first = scale.factor
    for broken in (True, False, True):
        weight.grad = torch.tensor(float("inf") if broken else 1.0)
        scale.unscale(optimizer)
        assert scale.adapt() is broken
    assert scale.factor == first / 4
    other = LossScale(is_on=True, device=torch.device("cpu"))
    other.restore(scale.state)
    assert (other.factor, other.state) == (scale.factor, scale.state)
    assert not scale.is_exhausted


def test_arithmetic_is_float16() -> None:
    with mixed_precision("float16", torch.device("cpu")):
        assert nn.Linear(4, 4)(torch.ones(1, 4)).dtype == torch.float16
