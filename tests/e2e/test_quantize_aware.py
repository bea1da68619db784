"""Weights that are rounded in training: a plain loop with torchao, the plan, a killed run, and what is exported."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel
from tests.e2e.conftest import Ftc, MakeProject

pytest.importorskip("torchao")
if not any(one.startswith("torchao") for one in importlib.metadata.requires("ftc") or ()):
    pytest.skip("ftc was installed before it asked for torchao: install it again", allow_module_level=True)


@pytest.fixture
def rounded(project: MakeProject) -> Callable[..., Path]:
    """Makes a project whose recipe rounds weights."""

    def make(task: str = "chat", *, weights: str = "int4", more: str = "", **recipe: Any) -> Path:
        root = project(task, **{"strategy": "full", "model": "decoder", **recipe})
        text = (root / "recipe.yaml").read_text(encoding="utf-8")
        asked = f"train: {{quantize_aware: {{weights: {weights}{more}}}, "
        text = text.replace("train: {", asked).replace(", dropout: 0.1", "")  # a sum of weights and adapter has none
        (root / "recipe.yaml").write_text(text, encoding="utf-8")
        return root / "recipe.yaml"

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "strategy"), [("int4", "full"), ("int8", "full"), ("int4", "lora")])
def test_a_run_rounds_and_exports_what_it_was_trained_for(
    rounded: Callable[..., Path], ftc: Ftc, weights: str, strategy: str
) -> None:
    record = api.apply(rounded(weights=weights, strategy=strategy, steps=20)).record
    assert record.status == "finished"
    assert api.audit(record.id).verdict == "CONSISTENT"
    answer = ftc("run", "export", record.id, "--format", "merged", "-o", "dist", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.weight_type == weights
    assert made.conversion.share < 1e-4
    assert made.parity.share < 0.01, "nothing but the rounding of all other weights to bfloat16"
    for format, weight_type in (("merged", "bf16"), ("gguf", None)):
        with pytest.raises(Refusal) as refused:
            api.export_model(record.id, format, "other", weight_type=weight_type)
        assert any(f"weights in {weights}" in str(one.notes) for one in refused.value.diagnostics)
