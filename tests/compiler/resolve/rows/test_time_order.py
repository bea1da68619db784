"""Rows that stay together against the order of time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.rows.time_order import out_of_order
from tests.diagnostics.worlds import write_plain_model

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: rows.jsonl}, split: {time: day, validation: 0.2, test: 0.2}}
model: {base: ./model}
strategy: {kind: lora, rank: 2}
train: {batch_size: 2}
"""


def test_rows_that_are_newer_than_the_next_part() -> None:
    times = [1.0, 2.0, 9.0, 4.0, 5.0, 6.0]
    assert out_of_order({"train": [0, 1, 2], "validation": [3], "test": [4, 5]}, times) == {"train": [2]}
    assert out_of_order({"train": [0], "validation": [2], "test": [4]}, times) == {"validation": [2]}
    assert out_of_order({"train": [0, 1], "test": [4, 5]}, times) == {}
    assert out_of_order({"train": [0, 1]}, times) == {}


def test_the_plan_says_how_many_rows_broke_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ftc").mkdir()
    write_plain_model(tmp_path / "model")
    rows = [
        {"text": f"row {n} about {n * 7} things", "label": ("cold", "warm")[n % 2], "day": f"2024-01-{n + 1:02}"}
        for n in range(20)
    ]
    rows.append({"text": "ROW 0 about 0 things!", "label": "cold", "day": "2024-03-01"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    found = [one for one in api.plan("recipe.yaml", offline=True).diagnostics if one.code == "FTC399"]
    assert [one.rows for one in found] == [("rows.jsonl:21",)]
    assert found[0].summary == "1 row is newer than the first row of a later part: train 1"
    apart = api.plan(
        "recipe.yaml", overrides=("data.split.together=copies", "data.quality.allow_overlap=0.5"), offline=True
    )
    assert "FTC399" not in {one.code for one in apart.diagnostics}
