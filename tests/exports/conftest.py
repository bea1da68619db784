"""A finished run on disk, made by hand: statements about it need no training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.spec.canonical import file_digest
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import sealed
from ftc.spec.documents.plan import Plan
from ftc.verbs.runs import Run, load_run
from tests.support import documents

ROWS = [{"text": f"Goal number {number}", "label": ("sport", "tech")[number % 2]} for number in range(6)]


def facts(file: Path) -> FileFacts:
    return FileFacts(size=file.stat().st_size, sha256=file_digest(file))


def plan_over(data: Path) -> Plan:
    """The realistic plan, with a data file that is there."""
    plan = documents.plan()
    source = plan.lock.data.sources["rows"].model_copy(
        update={"asked": {"path": data.name}, "file": facts(data), "rows": len(ROWS)}
    )
    lock = sealed(
        plan.lock.model_copy(update={"data": plan.lock.data.model_copy(update={"sources": {"rows": source}})})
    )
    text = plan.settings.text.model_copy(update={"columns": {"text": "text", "label": "label"}})
    settings = plan.settings.model_copy(update={"text": text})
    return plan.model_copy(update={"lock": lock, "settings": settings}).sealed()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run in `runs/bbc-news/`, below the data file that it was trained on."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "bbc.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    plan = plan_over(data)
    folder = tmp_path / "runs" / plan.name / documents.RUN_ID
    texts = {
        "adapter/adapter_config.json": "{}",
        "adapter/adapter_model.safetensors": "weights",
        "plan.json": plan.to_text(),
        "eval.json": documents.evaluation().to_text(),
        "checkpoints/step-00000162/state.json": "{}",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    outputs = {name: facts(folder / name) for name in texts if not name.startswith("plan")}
    (folder / "record.json").write_text(documents.record(plan, outputs=outputs).to_text(), encoding="utf-8")
    return load_run(folder)
