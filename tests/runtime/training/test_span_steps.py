"""Spans by the paper, ten steps of span corruption beside ten by its formula, and a killed run."""

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
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sources import MaskedRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.loss_settings import SpanSettings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.schedules import learning_rate_at
from ftc.spec.span_corruption import block_size, fixed_spans, span_counts, step_spans
from tests.runtime.jobs import changed, make_job, reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.runtime.training.test_preference_steps import AdamW
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

_STEPS, _BATCH, _END = 10, 3, 1
_SPANS = SpanSettings(share=0.15, mean_length=3.0, sentinels=(VOCAB_SIZE - 1, VOCAB_SIZE - 2), end_id=_END)
_TAKEN_OUT: dict[str, Any] = {
    "model__family": "encoder_decoder",
    "model__decoder_start_id": 0,
    "text__form": "spans",
    "train__spans": _SPANS.model_dump(),
    "seeds__masking": 11,
    "eval__metrics": ("perplexity",),
    "eval__max_new_tokens": None,
}


def _texts(file: Path, count: int = 12, seed: int = 3) -> TokenStream:
    """Rows of six to thirty tokens."""
    generator = np.random.default_rng(seed)
    made = [
        generator.integers(4, VOCAB_SIZE - 2, size=int(generator.integers(6, 30))).astype(np.int32)
        for _ in range(count)
    ]
    ids, masks = zip(*(fixed_spans(one, _SPANS) for one in made), strict=True)
    return write_columns(
        file,
        [one.tolist() for one in ids],
        [one.astype(int).tolist() for one in masks],
        prompts=[int(one.argmax()) for one in masks],
        targets=[one.tolist() for one in made],
    )


def _put_back(ids: np.ndarray[Any, Any], mask: np.ndarray[Any, Any], sentinels: tuple[int, ...]) -> list[int]:
    """What was read, with what was written in the place of each sentinel, without the ends."""
    read, written = ids[~mask].tolist(), ids[mask].tolist()
    assert (read.pop(), written.pop()) == (_END, _END)
    spans: dict[int, list[int]] = {}
    for one in written:
        if one in sentinels:
            spans[one] = []
        else:
            spans[next(reversed(spans))].append(one)
    assert list(spans) == [one for one in read if one in sentinels], "in the same order on both sides"
    return [token for one in read for token in spans.get(one, [one])]


def test_spans_are_a_function_of_the_place_with_sizes_as_in_the_paper() -> None:
    sentinels = tuple(range(32_099, 31_999, -1))
    spans = SpanSettings(share=0.15, mean_length=3.0, sentinels=sentinels, end_id=_END)
    kept = np.arange(4, 572, dtype=np.int32)
    assert span_counts(568, 0.15, 3.0) == (85, 28)
    assert (span_counts(568, 0.15, 3.0).num_read(568), span_counts(568, 0.15, 3.0).num_written) == (512, 114)
    assert block_size(512, 0.15, 3.0) == 568, "T5's own numbers"
    seen = []
    for step in range(20):
        ids, mask = step_spans(kept, spans, 17, step, 5)
        again = step_spans(kept, spans, 17, step, 5)
        assert (ids == again[0]).all()
        assert ((~mask).sum(), mask.sum()) == (512, 114)
        assert _put_back(ids, mask, sentinels) == kept.tolist()
        assert ids[0] == kept[0], "a row begins with what is left"
        seen.append(ids.tolist())
    assert len({tuple(one) for one in seen}) == 20, "each step takes other spans out"
    others = [step_spans(kept, spans, *place)[0].tolist() for place in ((17, 0, 6), (18, 0, 5))]
    assert seen[0] not in others, "row and seed each give other spans"
    assert (fixed_spans(kept, spans)[0] == fixed_spans(kept.copy(), spans)[0]).all()
    assert span_counts(2, 0.15, 3.0) == (1, 1), "a short row has a target, too"
    assert span_counts(10, 0.5, 1.0) == (5, 5)
    assert block_size(3, 0.15, 3.0) == 2
    assert block_size(2, 0.15, 3.0) == 0


def test_ten_steps_by_the_formula(tmp_path: Path) -> None:
    from accelerate import Accelerator

    made, rows = make_job(tmp_path, "t5", "full"), _texts(tmp_path / "texts.arrow")
    changes = {
        **{name.replace("__", "."): value for name, value in _TAKEN_OUT.items()},
        "train.num_steps": _STEPS,
        "train.steps_per_epoch": 4,
        "train.batch_size": _BATCH,
        "train.micro_batch": 2,
        "train.optimizer.epsilon": 1e-3,  # else the rounding of tiny gradients would decide whole updates
    }
    settings = changed(made.plan, changes).settings
    model = build_model(settings, FolderBase(made.inputs.model_folder), torch.device("cpu"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain, train = copy.deepcopy(model), settings.train
    parameters, order = trainable_tensors(model), BatchOrder(rows.lengths, _BATCH, 4, settings.seeds.order)
    scorer, optimizer = make_scorer(model, settings), make_optimizer(parameters, train, model)
    source, accelerator = MaskedRows(rows, order, _SPANS, 11, step_spans), Accelerator(cpu=True)
    job = Job(train, settings.seeds, model, parameters, scorer, optimizer, source, accelerator)
    found = list(training_steps(job, 0))

    rule, weights = train.optimizer, trainable_tensors(plain)
    update = AdamW(weights, rule.weight_decay, (rule.beta1, rule.beta2))
    for number, step in enumerate(found):
        losses = []
        for row in order.rows(number):
            ids, mask = step_spans(rows.targets[row], _SPANS, 11, number, row)
            read, right = torch.from_numpy(ids[~mask]).long(), torch.from_numpy(ids[mask]).long()
            start = torch.cat([torch.tensor([settings.model.decoder_start_id]), right[:-1]])
            scores = plain(input_ids=read[None], decoder_input_ids=start[None]).logits[0].double()
            losses.append(scores.exp().sum(dim=-1).log() - scores[torch.arange(len(right)), right])
        loss = torch.cat(losses).mean()
        assert step.supervised == sum(map(len, losses))
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norm = torch.stack([one.norm() for one in gradients.values()]).norm()
        assert step.loss == pytest.approx(loss.item(), rel=1e-4), f"step {number + 1}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        clipped = min(1.0, (train.max_grad_norm or math.inf) / (float(norm) + 1e-6))
        shorter = {key: one * clipped for key, one in gradients.items()}
        update.step(learning_rate_at(number, train), shorter, rule.epsilon)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, strategy: str) -> None:
    write_tiny_model(tmp_path / "model-t5", "t5")
    for seed, (name, rows) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        _texts(tmp_path / "streams-0" / f"{name}.arrow", rows, seed)
    adapted: dict[str, Any] = {"targets": ("q", "v"), "num_modules": 12}
    changes = {f"strategy__adapter__{name}": value for name, value in adapted.items() if strategy == "lora"}
    job = reopen_job(tmp_path, "t5", strategy, **_TAKEN_OUT, **changes)
    whole = job.run("whole")
    assert len({event.batch_sha256 for event in job.of_kind("step")}) == 12, "each step takes other spans out"
    run_killed(job, "killed", "step", 5)
    assert_same(job, "killed", whole)
