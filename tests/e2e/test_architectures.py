"""Architectures that came with the table: a tiny model of each is planned and trained for two steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import MakeProject
from tests.support.projects import make_model


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
