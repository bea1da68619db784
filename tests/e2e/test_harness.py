"""Tasks of the lm-evaluation-harness on a finished run: its own figures for base and tuned, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ftc
from tests.support.harness_tasks import make_task
from tests.support.projects import contents, make_model

pytest.importorskip("lm_eval", reason="lm_eval isn't installed: pip install 'ftc[harness]'")

RECIPE = """
ftc: 1
name: tiny
task: {kind: generation}
data: {source: {path: rows.jsonl}, split: {validation: 0, test: 0}}
model: {base: ./model}
strategy: {kind: lora}
train: {max_steps: 2, batch_size: 4, learning_rate: 0.01, determinism: off}
"""


@pytest.fixture
def folder(tmp_path: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    monkeypatch.chdir(root)
    make_model(root / "model", "decoder")
    rows = [{"prompt": f"tell {number} of him", "completion": "he said"} for number in range(40)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "recipe.yaml").write_text(RECIPE)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.err
    (found,) = (one.parent for one in (root / "runs").glob("*/*/record.json"))
    return found


def test_base_and_tuned_model_by_the_harness(folder: Path, ftc: Ftc, tmp_path: Path) -> None:
    tasks = make_task(tmp_path / "tasks", 12)
    before = contents(folder.parents[2])
    asked = ("eval", folder.name, "--harness", "colors", "--tasks", tasks, "--limit", "10")
    found = ftc(*asked, "--format", "json")
    assert found.code == 0, found.err
    metrics = {one["metric"]: one for one in json.loads(found.out)["metrics"]}
    assert {(name, one["task"], one["rows"]) for name, one in metrics.items()} == {
        ("acc", "colors", 10),
        ("brier_score", "colors", 10),
    }
    assert metrics["brier_score"]["base"] != metrics["brier_score"]["tuned"], "it has learned"
    by_itself = _by_itself(folder.parents[2] / "model", tasks)
    for name, one in metrics.items():
        assert float(one["base"]) == pytest.approx(by_itself[f"{name},none"], abs=1e-6)
    assert contents(folder.parents[2]) == before, "no look at a test split, and nothing written"
    assert "colors" in ftc(*asked).text
    unknown = ftc("eval", folder.name, "--harness", "color", "--tasks", tasks)
    assert unknown.code == 1
    assert "[FTC686]" in unknown.err


def _by_itself(model: Path, tasks: Path) -> Any:
    """What the library says of a model's folder, without ftc."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    named = f"pretrained={model},dtype=float32"
    manager = TaskManager(include_path=str(tasks))
    found = simple_evaluate("hf", named, tasks=["colors"], task_manager=manager, limit=10, device="cpu")
    assert found is not None
    return found["results"]["colors"]
