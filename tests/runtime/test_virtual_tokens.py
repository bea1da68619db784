"""Virtual tokens stand before an answer once, and while it is written they are those of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

NUM_TOKENS = 6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for kind in ("llama", "gpt2", "t5"):
        write_tiny_model(root / kind, kind)
    return {kind: root / kind for kind in ("llama", "gpt2", "t5")}


@pytest.mark.filterwarnings("ignore:Position ids are not supported")  # rows have no padding, so none are needed
@pytest.mark.parametrize("strategy", ["prompt_tuning", "p_tuning", "prefix_tuning"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_an_answer_is_the_one_that_whole_rows_give(kind: str, strategy: str, models: dict[str, Path]) -> None:
    """Token by token, each from a fresh look at everything before it, as in training."""
    job = trace_job(json.loads((models[kind] / "config.json").read_text()), strategy, device=PROCESSOR)
    model: Any = build_model(job.settings, FolderBase(models[kind]), torch.device("cpu")).eval()
    torch.manual_seed(1)
    for tensor in trainable_tensors(model).values():  # far from nothing, so that it shows whether they are there
        torch.nn.init.normal_(tensor, std=2.0)
    ids = torch.tensor([[5, 9, 20, 33]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        written = model.generate(**given, max_new_tokens=NUM_TOKENS, do_sample=False, eos_token_id=None)
        begin = ids if kind != "t5" else written[:, :1]
        row = begin
        for _ in range(NUM_TOKENS):
            inputs = {**given, "decoder_input_ids": row} if kind == "t5" else {"input_ids": row}
            row = torch.cat([row, model(**inputs).logits[:, -1:].argmax(dim=-1)], dim=1)
    assert written[0, begin.shape[1] :].tolist() == row[0, begin.shape[1] :].tolist()
