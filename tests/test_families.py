"""Where each family of today's models is shown; a family that one of these places forgets fails here.

| | mixtures of experts | models that read images |
|---|---|---|
| a row in the table | `ARCHITECTURES` | `VISION_MODELS` |
| a tiny model of its own class in the matrix | `docs/matrix.json` | the same |
| a traced plan at real size beside arithmetic | `benchmarks/experts.py`, results | `benchmarks/images.py`, results |
| a trace to the byte | `tests/runtime/memory_trace/test_experts.py` | `tests/runtime/memory_trace/test_images.py` |
| losses of a plain loop | `tests/runtime/training/test_experts.py` | `tests/e2e/test_vision.py` and `_training.py` |
| a merged model that others load | `tests/e2e/test_experts.py` | the same |
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.resolve.models import model_config
from ftc.compiler.resolve.models.model_config import read_config
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal
from ftc.spec.vision_card import LEAST_RELEASE
from ftc.spec.vision_models import VISION_MODELS, vision_model
from tests.support.families import EXPERTS, IMAGES, MISSING, Family
from tests.support.vision_models import MODELS, make_vision_project

ROOT = Path(__file__).parents[1]


def published() -> dict[str, str]:
    """What became of each cell of the matrix."""
    found: dict[str, str] = json.loads((ROOT / "docs" / "matrix.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("family", EXPERTS, ids=str)
def test_a_mixture_has_its_row_and_its_cells(family: Family) -> None:
    row = architecture(family.model_type)
    assert row.family == "decoder"
    assert row.experts is not None
    cells = {cell: found for cell, found in published().items() if f"/ {family.model_type} /" in cell}
    usual = {cells[f"generation / {family.model_type} / {strategy}"] for strategy in ("full", "lora")}
    assert usual == {"works"}, "LoRA and full training work"
    assert set(cells.values()) - {"works"} <= {"FTC268", "FTC272", "FTC274"}, "refused for what the model lacks"


@pytest.mark.parametrize("family", EXPERTS, ids=str)
def test_a_mixture_at_its_real_size_agrees_with_arithmetic(family: Family) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks.experts import CASES, by_hand

    lines = (ROOT / "benchmarks" / "results" / "experts.jsonl").read_text(encoding="utf-8").splitlines()
    traced: dict[str, dict[str, Any]] = {one["name"]: one for one in map(json.loads, lines)}
    (case,) = (case for case in CASES if case.name == family.public)
    found, hand = traced[case.name], by_hand(case)
    assert found["model_type"] == case.config["model_type"] == family.model_type
    assert (found["parameters"], found["active"]) == (hand["parameters"], hand["active"])
    assert found["weights"] == pytest.approx(hand["weights"], rel=1e-3)
    assert found["forward_flops"] == pytest.approx(hand["forward_flops"], rel=0.02)
    assert hand["training"] < found["training"] < 1.3 * hand["training"], "and a layer and a chunk of scores at a time"
    assert found["experts_training"] - found["training"] == pytest.approx(hand["experts"], rel=0.06)


def test_every_mixture_is_a_family() -> None:
    """Their losses and merged models are tested by this list."""
    from ftc.spec.architectures import ARCHITECTURES

    assert {row.model_type for row in ARCHITECTURES if row.experts} == {one.model_type for one in EXPERTS}
    pytest.importorskip("torch")
    from tests.e2e import test_experts as merged
    from tests.runtime.training import test_experts as trained

    assert vars(merged)["EXPERTS"] is vars(trained)["EXPERTS"] is EXPERTS


@pytest.mark.parametrize("family", IMAGES, ids=str)
def test_a_model_that_reads_images_has_its_row_its_tiny_model_and_its_cell(family: Family) -> None:
    """Each tiny model is trained beside a plain loop, and merged (`tests/e2e/test_vision.py`)."""
    card = vision_model(family.model_type)
    assert card is not None
    assert family.model_type in MODELS
    cells = {cell: found for cell, found in published().items() if f"/ {family.model_type} /" in cell}
    assert cells == {f"generation / {family.model_type} / {way}": "works" for way in ("full", "lora", "qlora")}


@pytest.mark.slow
@pytest.mark.traces
@pytest.mark.parametrize("family", IMAGES, ids=str)
def test_a_model_that_reads_images_has_a_traced_plan(family: Family, tmp_path: Path) -> None:
    """With its vision tower, in training, evaluation and while answers are written."""
    for module in ("torch", "transformers", "PIL"):
        pytest.importorskip(module)
    budget = "{device: rtx-4090}"
    plan = api.plan(make_vision_project(tmp_path, count=16, model_type=family.model_type, budget=budget)).plan
    assert plan.memory.method == "trace"
    phases = {phase.phase for phase in plan.memory.phases}
    assert {f"{use}: image layers" for use in ("forward", "evaluation", "generation")} <= phases


@pytest.mark.parametrize("family", [one for one in IMAGES if one.public], ids=str)
def test_a_model_that_reads_images_agrees_with_arithmetic_at_its_real_size(family: Family) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks.images import by_hand
    from benchmarks.support.image_models import CASES

    lines = (ROOT / "benchmarks" / "results" / "images.jsonl").read_text(encoding="utf-8").splitlines()
    traced: dict[str, dict[str, Any]] = {one["name"]: one for one in map(json.loads, lines)}
    assert family.public in traced
    assert family.public in {case.name for case in CASES}
    for case in (case for case in CASES if case.config["model_type"] == family.model_type):
        found, hand = traced[case.name], by_hand(case)
        assert (found["parameters"], found["tokens"]) == (hand["parameters"], hand["tokens"])
        assert found["weights"] == pytest.approx(hand["weights"], rel=2e-3)
        assert hand["training"] < found["training"] < 1.3 * hand["training"], (
            "and a layer and a chunk of scores at a time"
        )
        assert hand["tower"] < found["tower"] < 2 * hand["tower"]


def test_every_model_that_reads_images_is_a_family() -> None:
    assert [card.model_type for card in VISION_MODELS] == [one.model_type for one in IMAGES] == [*MODELS]


def test_the_extra_asks_for_the_release_that_the_models_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"transformers>={'.'.join(map(str, LEAST_RELEASE))}" in project["optional-dependencies"]["vision"]


@pytest.mark.parametrize(("installed", "is_enough"), [((5, 22), False), ((5, 23), True)])
def test_a_release_that_computes_another_model_is_refused_by_name(
    installed: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, is_enough: bool
) -> None:
    """Before 5.23 a PaliGemma 2 has no soft cap in transformers."""
    monkeypatch.setattr(model_config, "installed_release", lambda: installed)
    text = {"model_type": "gemma2", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "head_dim": 8, "vocab_size": 64, "max_position_embeddings": 64}
    config = {"model_type": "paligemma", "architectures": ["X"], "text_config": text, "image_token_index": 5}
    config |= {"projection_dim": 32, "vision_config": {"hidden_size": 32, "image_size": 28, "patch_size": 14}}
    if is_enough:
        assert read_config(config).model_type == "gemma2"
        return
    with pytest.raises(Refusal) as refused:
        read_config(config)
    (found,) = refused.value.diagnostics
    assert found.code == "FTC308"
    assert "needs transformers 5.23" in found.summary
    assert "transformers>=5.23" in found.help[0]


@pytest.mark.parametrize("family", MISSING, ids=str)
def test_what_is_missing_is_refused_by_name(family: Family) -> None:
    """FTC308; who adds a row moves the family to the others."""
    text = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4}
    config = {"model_type": family.model_type, "architectures": ["X"], "text_config": text, "vision_config": {}}
    with pytest.raises(Refusal) as refused:
        read_config(config)
    assert [found.code for found in refused.value.diagnostics] == ["FTC308"]
