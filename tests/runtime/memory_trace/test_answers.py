"""Writing answers: what the trace calls stands for transformers' own loop, and layers may be few."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.memory_trace.answers import write_answers
from ftc.runtime.memory_trace.log import Log, peaks
from ftc.runtime.memory_trace.sections import mark
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.memory_trace.whole import log_of, whole_groups, whole_log
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.models.number_types import mixed_precision
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import LLAMA, PROCESSOR, trace_job

NEW = 24
LENGTH, TARGET = 40, 8


def largest(log: Log) -> int:
    return max(peak.size for peak in peaks(log).values())


def job_for(config: dict[str, Any], **changes: Any) -> TraceJob:
    shape = BatchShape(length=LENGTH, supervised=TARGET, padded=False)
    return trace_job(
        config, "full", device=PROCESSOR, shape=shape, eval__max_new_tokens=NEW, eval__batch_size=4, **changes
    )


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_two_passes_need_what_the_whole_loop_needs(kind: str, tmp_path: Path) -> None:
    from transformers import GenerationConfig

    write_tiny_model(tmp_path, kind)
    job = job_for(json.loads((tmp_path / "config.json").read_text()))
    groups = whole_groups((2, 2) if kind == "t5" else (2,))
    sizes = []
    for by_loop in (True, False):
        model: Any = build_model(job.settings, FolderBase(tmp_path), torch.device("cpu"))
        tracker = StorageTracker("cpu")
        mark(tracker, model, groups)
        ids = torch.ones(4, LENGTH - TARGET if kind == "t5" else LENGTH, dtype=torch.long)  # its decoder reads the rest
        options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
        model.generation_config = GenerationConfig(**options, decoder_start_token_id=0, eos_token_id=2)
        with tracker, torch.no_grad():
            if by_loop:
                model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))
            else:
                tracker.purpose = "generation"
                write_answers(job, model, tracker, groups, torch.device("cpu"), NEW)
        sizes.append(largest(tracker.close()))
    # The loop's own ids, masks and scores weigh something here alone, where the model has 64 dimensions.
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


def test_casts_of_weights_live_no_longer_than_a_product(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    write_tiny_model(tmp_path, "llama")
    job = job_for(json.loads((tmp_path / "config.json").read_text()), train__precision="bfloat16")
    model: Any = build_model(job.settings, FolderBase(tmp_path), torch.device("cpu"))
    model.generation_config = GenerationConfig(
        max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0, eos_token_id=2
    )
    groups = whole_groups((2,))
    tracker = StorageTracker("cpu")
    mark(tracker, model, groups)
    ids = torch.ones(4, LENGTH, dtype=torch.long)
    with tracker, eval_mode(model), mixed_precision("bfloat16", torch.device("cpu")):
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))
    traced = [one for name, one in peaks(log_of(job, (2,), groups)).items() if name.startswith("generation")]
    # All casts at once would be a third more; the loop's own ids and masks weigh something here alone.
    assert max(one.components["temporaries"] for one in traced) == pytest.approx(largest(tracker.close()), rel=0.08)


@pytest.mark.slow
def test_keys_and_values_of_few_layers_stand_for_all() -> None:
    job = job_for({**LLAMA, "num_hidden_layers": 8})
    few, traced = whole_log(job)
    assert traced == 5
    assert peaks(few) == peaks(log_of(job, (8,), whole_groups((8,)))) | {"clip": peaks(few)["clip"]}
    assert any(name.startswith("generation") for name in peaks(few))
