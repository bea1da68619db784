"""Products in float8: the steps of a plain loop with torchao, memory by trace, resumes, processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.streams import open_stream
from ftc.spec.precisions import PRECISIONS, PrecisionCard, precision_card
from ftc.spec.schedules import learning_rate_at
from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job
from tests.runtime.memory_trace.test_step import OF_THE_HOST
from tests.runtime.test_resume import assert_same, run_killed
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

pytest.importorskip("torchao")

CARDS = [card for card in PRECISIONS if card.float8 is not None]
IN_LLAMA: dict[str, Any] = {"num_modules": 14}


def settings_of(card: PrecisionCard, num_modules: int = 14) -> dict[str, Any]:
    """What a plan says of training with products in float8."""
    return {"train__precision": card.kind, "train__float8": {"num_modules": num_modules}}


def by_hand(job: Job, steps: int) -> Iterator[float]:
    """Losses of training by torch, transformers and torchao alone, on the job's batches."""
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    settings = job.plan.settings
    train, rows = settings.train, open_stream(job.inputs.streams_folder / "train.arrow")
    card = precision_card(train.precision).float8
    assert card is not None
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, settings.seeds.order)
    model = AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, attn_implementation="sdpa").train()
    config = Float8LinearConfig.from_recipe_name(card.recipe)
    object.__setattr__(config, "pad_inner_dim", True)
    convert_to_float8_training(model, config=config, module_filter_fn=lambda _, name: ".layers." in name)
    converted = [one for one in model.modules() if type(one).__name__ == "Float8Linear"]
    assert len(converted) == IN_LLAMA["num_modules"]
    for one in converted:  # torchao looks at a GPU's autocast alone
        one.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(torch.bfloat16),))
    optimizer = torch.optim.AdamW(model.parameters(), lr=train.learning_rate, weight_decay=0.0)
    source = StreamRows(rows, order)
    for step in range(steps):
        fed = source.at(step)
        targets = sum(int(rows.mask(row).sum()) for row in fed.numbers)
        total = 0.0
        for piece in fed.micro_batches(train.micro_batch, 0, 1):
            lengths = [len(rows.ids(row)) for row in piece]
            ids = torch.zeros(len(piece), max(lengths), dtype=torch.long)
            mask = torch.zeros_like(ids, dtype=torch.bool)
            for place, row in enumerate(piece):
                ids[place, : lengths[place]] = torch.tensor(rows.ids(row)).long()
                mask[place, : lengths[place]] = torch.tensor(rows.mask(row)) > 0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(input_ids=ids).logits[:, :-1][mask[:, 1:]]
            loss = nn.functional.cross_entropy(logits.float(), ids[:, 1:][mask[:, 1:]], reduction="sum")
            (loss / targets).backward()
            total += float(loss.detach()) / targets
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        yield total


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.kind)
def test_the_steps_are_those_of_a_loop_by_hand(tmp_path: Path, card: PrecisionCard) -> None:
    job = make_job(tmp_path, strategy="full", **settings_of(card), train__learning_rate=1e-3)
    plain = make_job(tmp_path / "plain", strategy="full", train__precision="bfloat16", train__learning_rate=1e-3)
    assert job.run().is_finished
    assert plain.run().is_finished
    found = [step.loss for step in job.of_kind("step")]
    assert found == pytest.approx([*by_hand(job, len(found))], abs=1e-5)
    assert found != [step.loss for step in plain.of_kind("step")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "classes", "modules"), [("llama", 0, 14), ("bert", 3, 12)])
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path, kind: str, classes: int, modules: int) -> None:
    job = make_job(tmp_path, kind, "full", classes=classes, **settings_of(CARDS[0], modules))
    whole = job.run("whole")
    run_killed(job, "killed", "step", 8)
    assert_same(job, "killed", whole)


def test_a_model_with_other_layers_than_the_plans_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", **settings_of(CARDS[0], 13))
    with pytest.raises(Refusal) as refused:
        build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    assert [one.code for one in refused.value.diagnostics] == ["FTC625"]


def test_evaluation_computes_as_those_do_who_load_the_result(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", **settings_of(CARDS[0]))
    model = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    plain = AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, attn_implementation="sdpa").eval()
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, plain(input_ids=ids).logits)
        assert not torch.equal(model.train()(input_ids=ids).logits, plain(input_ids=ids).logits)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.kind)
def test_the_trace_counts_products_as_a_real_step_does(card: PrecisionCard, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", "llama")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    shape = BatchShape(length=20, supervised=7, padded=False)
    usual: dict[str, Any] = {"device": PROCESSOR, "shape": shape, "num_modules": 4}
    plain = trace_job(config, "full", **usual, train__precision="bfloat16")
    job = trace_job(config, "full", **usual, **settings_of(card))
    assert plain.key() != job.key()
    groups = whole_groups((2,))
    found = peaks(log_of(job, (2,), groups))
    model = build_model(job.settings, FolderBase(tmp_path / "model"), torch.device("cpu"))
    real = peaks(run_steps(job, model, groups, torch.device("cpu"), Folder(tmp_path / "kept")))
    names = real.keys() - OF_THE_HOST
    assert {name: found[name].size - real[name].size for name in names} == dict.fromkeys(names, 0)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["fsdp", "ddp"])
def test_two_processes_that_share_the_model_do_the_work_of_one(tmp_path: Path, sharding: str) -> None:
    alone: dict[str, Any] = {"train__batch_size": 4, "train__micro_batch": 1, **settings_of(CARDS[0])}
    job = make_job(tmp_path, strategy="full", **alone)
    job.run("one")
    shared = {**alone, "train__world_size": 2, "device__count": 2, "train__sharding": sharding}
    run = {"name": "two", "strategy": "full", "changes": shared, "kind": "llama", "classes": 0, "stop_at": None}
    together(tmp_path, [run])
    losses = []
    for name in ("one", "two"):
        events = [json.loads(line) for line in job.folder(name).events.read_text().splitlines()]
        losses.append([float(event["loss"]) for event in events if event["kind"] == "step"])
    assert losses[1] == pytest.approx(losses[0], abs=0.03)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with it")
def test_compiled_layers_compute_the_same(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", **settings_of(CARDS[0]), train__num_steps=3)
    compiled = make_job(
        tmp_path / "c", strategy="full", **settings_of(CARDS[0]), train__num_steps=3, train__compile=True
    )
    assert job.run().is_finished
    assert compiled.run().is_finished
    found = [step.loss for step in compiled.of_kind("step")]
    assert found == pytest.approx([step.loss for step in job.of_kind("step")], abs=0.02)
