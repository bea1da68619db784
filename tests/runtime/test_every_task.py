"""Every task is planned, traced, trained, measured and described: none of it is forgotten for a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.tasks import OBJECTIVES, objective_of
from ftc.spec.heads import HEADS, head_card
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.card import EVERY_FAMILY, Mode, TaskSection
from ftc.spec.text_forms import FORMS, form_card
from tests.runtime.memory_trace.test_heads import BERT, LABELS, TINY
from tests.spec.test_task_cards import every_option
from tests.support.projects import KINDS, PROJECTS, make_model, make_project
from tests.support.trace_jobs import trace_job


def test_every_head_has_an_objective() -> None:
    forms = {(head_card(mode.head).name, form_card(mode.form)) for mode in every_mode()}
    kinds = {(head, form.is_pair, form.is_sampled) for head, form in forms}
    assert {(one.head, one.is_pair, one.is_sampled) for one in OBJECTIVES} == kinds
    assert {head for head, *_ in kinds} == {card.name for card in HEADS}
    assert {mode.form for mode in every_mode()} == {card.name for card in FORMS}


def every_mode() -> list[Mode]:
    return [one.mode_for(family) for task in TASKS for one in every_option(task) for family in EVERY_FAMILY]


WAYS = {(mode.head, mode.form): mode for mode in every_mode()}


@pytest.mark.sample(3)
@pytest.mark.parametrize("mode", WAYS.values(), ids=[f"{head}-{form}" for head, form in WAYS])
def test_a_traced_step(mode: Mode) -> None:
    head, changes = head_card(mode.head), dict[str, Any]()
    if form_card(mode.form).is_pair:
        changes["train__preference"] = {"beta": 0.1}
    if form_card(mode.form).is_sampled:
        changes["train__sampling"] = {
            "rewards": ({"kind": "exact_match"},),
            "loss": "grpo",
            "group_size": 2,
            "max_new_tokens": 4,
            "temperature": 1.0,
            "top_k": 0,
            "beta": 0.0,
        }
    if mode.head == "embedding":
        vectors = {"loss": "multiple_negatives", "temperature": 0.05, "pooling": "mean", "normalize": True}
        changes["train__embedding"] = vectors
    if mode.form == "masked":
        changes["train__masking"] = {"share": 0.15, "mask_id": 3, "vocabulary": 100}
    if mode.form == "spans":
        changes["train__spans"] = {"share": 0.15, "mean_length": 3.0, "sentinels": (99, 98), "end_id": 1}
    if mode.form == "rerank":
        changes["train__reranking"] = {"loss": "cross_entropy"}
    if form_card(mode.form).moves_targets:
        changes["eval__max_answer_tokens"] = 8
    if not head.chooses:
        scales = tuple({"mean": 0.0, "spread": 1.0} for _ in LABELS)
        changes["train__regression"] = {"loss": "mse", "scales": scales}
    labels = LABELS if head.names_outputs else ()
    job = trace_job(
        BERT if head.is_new or mode.form == "masked" else TINY,
        "full",
        model__head=mode.head,
        text__form=mode.form,
        text__labels=labels,
        **changes,
    )
    assert objective_of(job.settings).head == mode.head
    found = trace(job)
    assert found.allocated_bytes > 0
    assert all(sum(phase.components.values()) == phase.peak_bytes for phase in found.phases)


@pytest.mark.sample(1)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name())
def test_a_run(task: type[TaskSection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = next(name for name in PROJECTS if KINDS.get(name, name).partition(",")[0] == task.name())
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make_model(tmp_path / "models" / PROJECTS[project][2], PROJECTS[project][2])
    root = make_project(tmp_path / "project", tmp_path / "models", project, steps=2)
    monkeypatch.chdir(root)
    applied = api.apply(Path("recipe.yaml"))
    (run,) = (root / "runs").glob("*/*/")
    mode = applied.plan.recipe.task.mode_for(applied.plan.settings.model.family)
    assert isinstance(applied.plan.recipe.task, task)
    assert applied.plan.settings.eval.metrics == mode.usual_metrics
    measured = json.loads((run / "eval.json").read_text(encoding="utf-8"))["tuned"]["metrics"]
    assert measured.keys() == set(mode.usual_metrics)
    assert f"A model that {mode.does}" in (run / "README.md").read_text(encoding="utf-8")
