"""Training with products in float8: the plan, the run, its replay, and what it leaves behind."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import MakeProject

pytest.importorskip("torchao")
if not any(one.startswith("torchao") for one in importlib.metadata.requires("ftc") or ()):
    pytest.skip("ftc was installed before it asked for torchao: install it again", allow_module_level=True)


@pytest.fixture
def in_float8(project: MakeProject) -> Callable[..., Path]:
    """Makes a project whose recipe computes in 8 bits."""

    def make(precision: str = "float8") -> Path:
        recipe = project("chat", strategy="full", model="decoder", steps=20) / "recipe.yaml"
        text = recipe.read_text(encoding="utf-8").replace("train: {", f"train: {{precision: {precision}, ")
        assert precision in text
        recipe.write_text(text, encoding="utf-8")
        return recipe

    return make


@pytest.mark.slow
def test_a_run_is_reproduced(in_float8: Callable[..., Path]) -> None:
    applied = api.apply(in_float8())
    assert applied.record.is_finished
    assert api.audit(applied.record.id, level="full").verdict == "REPRODUCED_BITWISE"
