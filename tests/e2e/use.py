"""What several tests ask of a finished run's model: it says without labels what its evaluation said with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.api import Run
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.heads import head_card
from tests.e2e.conftest import Ftc
from tests.support.projects import PROJECTS

__all__ = ["INPUTS", "predicts_as_evaluated"]

INPUTS = {
    "classification": ("text",),
    "multi_label": ("text",),
    "regression": ("text",),
    "several_numbers": ("text",),
    "choice": ("text",),
    "token_classification": ("tokens",),
    "spans": ("text",),
    "extraction": ("question", "context"),
    "question_answering": ("question", "context"),
    "summarization": ("text",),
    "translation": ("source",),
    "generation": ("question",),
    "reinforcement": ("question",),
    "chat": ("messages",),
    "preference": ("prompt",),
    "pretraining": ("text",),
}
"""Columns that a row to predict for needs, by project."""


def predicts_as_evaluated(run: Run, project: str, ftc: Ftc, scratch: Path) -> None:
    """Predicts for all rows of a project, without their answers, and compares with `predictions.ndjson`."""
    rows: list[dict[str, Any]] = list(read_rows(run.root / PROJECTS[project][0], "rows").rows)
    unlabeled = [{name: row[name] for name in INPUTS[project]} for row in rows]
    if project == "chat":
        unlabeled = [{"messages": row["messages"][:-1]} for row in unlabeled]
    file = scratch / "new.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in unlabeled), encoding="utf-8")
    answer = ftc("predict", run.record.id, "--data", file)
    assert answer.code == 0, answer.text
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert [{name: row[name] for name in unlabeled[0]} for row in found] == unlabeled, "rows stay, in their order"
    assert all(isinstance(row["prediction"], str) for row in found)
    settings = run.plan.settings
    writes = head_card(settings.model.head).writes
    if writes and settings.eval.max_new_tokens is None:
        return  # the run measured the answers that the rows have, and wrote none
    outcomes = [json.loads(line) for line in (run.folder / "predictions.ndjson").read_text().splitlines()]
    # The tiny tokenizer keeps a space before `money` apart; the evaluation's prompts ended there, as the answers show.
    said = {one["row"]: one["tuned"]["text"] for one in outcomes if not writes or one["expected"] != "money"}
    assert said
    assert {number: found[number]["prediction"] for number in said} == said
