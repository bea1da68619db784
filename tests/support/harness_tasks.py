"""A folder of tasks for the lm-evaluation-harness, with rows of its own."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["make_task"]

_TASK = """
task: colors
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: [he said, said he]
doc_to_target: "{{answer}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: brier_score, higher_is_better: false}
"""


def make_task(folder: Path, rows: int) -> Path:
    """Writes the task `colors`: which of two answers is likelier."""
    folder.mkdir()
    lines = [json.dumps({"prompt": f"tell {number} of him", "answer": int(number % 4 == 0)}) for number in range(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "colors.yaml").write_text(_TASK.replace("ROWS", str(folder / "rows.jsonl")))
    return folder
