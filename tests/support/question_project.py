"""A project of twenty questions with answers, and the smallest model that a plan reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.diagnostics.worlds import write_plain_model

__all__ = ["question_project"]

_RECIPE = """\
ftc: 1
name: tiny
task: {kind: generation, prompt: "{{ question }}"}
data:
  source: {path: rows.jsonl}
  fields: {completion: answer}
  split: {validation: 0, test: 0.2}
model: {base: ./model}
strategy: {kind: lora}
"""


def question_project(folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str = "recipe.yaml") -> Path:
    """Makes it in a folder, which becomes the working folder; returns the recipe."""
    (folder / ".ftc").mkdir()
    write_plain_model(folder / "model")
    rows = [{"question": f"cold number {number}", "answer": "warm"} for number in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / recipe).write_text(_RECIPE, encoding="utf-8")
    monkeypatch.setenv("FTC_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    return Path(recipe)
