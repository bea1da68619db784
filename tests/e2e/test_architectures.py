"""Architectures that came with the table: a tiny model of each is planned and trained for two steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ftc import api
from ftc.compiler.resolve.models.weights import read_header
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from tests.e2e.conftest import MakeProject
from tests.support.projects import make_model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_type", "task"),
    [
        ("plbart", "summarization"),
        ("mvp", "summarization"),
        ("olmo3", "pretraining"),
        ("ministral3", "pretraining"),
        ("eurobert", "classification"),
    ],
)
def test_a_type_with_a_row_is_planned_and_trained(
    project: MakeProject, models: Path, model_type: str, task: str
) -> None:
    make_model(models / model_type, model_type)
    project(task, "lora", steps=2, model=model_type)
    assert not [one for one in api.plan(Path("recipe.yaml")).plan.not_checked if one.startswith("architecture")]
    assert api.apply(Path("recipe.yaml")).record.status == "finished"


@pytest.mark.slow
def test_a_pooler_that_no_pretrained_model_has_is_trained_and_saved(project: MakeProject, models: Path) -> None:
    make_model(models / "deberta-v2", "deberta-v2")
    project("classification", "lora", steps=2, model="deberta-v2")
    plan = api.plan(Path("recipe.yaml")).plan
    model = build_model(plan.settings, FolderBase(Path(plan.settings.model.base)), torch.device("cpu"))
    trained = trainable_tensors(model)
    assert any("pooler" in name for name in trained)
    assert plan.model.num_trainable == sum(tensor.numel() for tensor in trained.values())
    run = api.apply(Path("recipe.yaml"))
    (weights,) = Path(run.folder).rglob("adapter_model.safetensors")
    assert any("pooler" in name for name in read_header(weights))
