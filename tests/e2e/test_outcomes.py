"""How a run may end, and what a plan asks of the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.plan import Plan
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents


def run_folder(root: Path) -> Path:
    (record,) = (root / "runs").glob("*/*/record.json")
    return record.parent


@pytest.mark.slow
def test_a_broken_gate(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("samples: 2", 'samples: 2, gates: {loss: "< 0.0001"}'))
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 7, applied.err
    assert "loss" in applied.text
    record = json.loads((run_folder(root) / "record.json").read_text())
    assert record["status"] == "gate_failed"
    again = ftc("apply", "recipe.yaml", "--yes")
    assert again.code == 7
    assert ftc("audit", run_folder(root).name).code == 0


@pytest.mark.slow
def test_a_gate_that_holds(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("samples: 2", 'samples: 2, gates: {loss: "< 50"}'))
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    assert "loss" in applied.text


def test_a_plan_for_a_card_that_is_not_here(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("device: cpu, threads: 1", "device: rtx-4090"))
    planned = ftc("plan", "recipe.yaml", "-o", "job.plan.json")
    assert planned.code == 0, planned.err
    assert "RTX 4090" in planned.text
    before = contents(root)
    refused = ftc("apply", "job.plan.json")
    assert refused.code == 1, refused.err
    assert "[FTC623]" in refused.err
    assert "cuda in the plan, cpu here" in refused.text
    assert {name: one for name, one in contents(root).items() if not name.endswith(".gitignore")} == before


@pytest.mark.slow
def test_a_budget_of_time_and_cost(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=2)
    recipe = root / "recipe.yaml"
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    text = recipe.read_text().replace("max_steps: 2", "max_steps: 100000, epochs: 1000").replace("epochs: 100, ", "")
    recipe.write_text(text.replace("threads: 1", "threads: 1, time: 1s, price_per_hour: 9000 USD, cost: 0.01 USD"))
    refused = ftc("plan", "recipe.yaml")
    assert refused.code == 4, refused.text
    assert "[FTC403]" in refused.err
    assert "[FTC404]" in refused.err
    assert "by 1 earlier run of this model on this device" in refused.err
    assert "USD" in refused.text


def test_damaged_lengths_are_made_again(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=2)
    assert ftc("plan", "recipe.yaml").code == 0
    (file,) = (root.parent / "cache").glob("streams/*/train.lengths.npy")
    whole = file.read_bytes()
    for damaged in (b"", whole[:-4], b"rows"):
        file.write_bytes(damaged)
        assert ftc("plan", "recipe.yaml").code == 0
        assert file.read_bytes() == whole


def test_a_folder_with_something_else_is_left_alone(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    plan = Plan.model_validate_json((root / "job.plan.json").read_bytes())
    place = root / "runs" / plan.name / plan.run_id
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("precious")
    before = contents(place)
    applied = ftc("apply", "job.plan.json")
    assert applied.code == 6, applied.text
    assert "[FTC628]" in applied.err
    assert "notes.txt" in applied.text
    assert contents(place) == before


def test_a_missing_training_package(project: MakeProject) -> None:
    root = project(steps=1)
    planned = api.plan("recipe.yaml")
    environment = planned.compiled.environment.model_copy(update={"missing": ("peft",)})
    without = replace(planned, compiled=replace(planned.compiled, environment=environment))
    with pytest.raises(Refusal) as refused:
        api.apply(without)
    (found,) = refused.value.diagnostics
    assert (found.code, refused.value.exit_code) == ("FTC650", 1)
    assert "ftc[train]" in found.help[0]
    assert not (root / "runs").exists()


def test_a_model_that_transformers_cannot_load(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    config = root / "encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "no such function"}))
    refused = ftc("apply", "recipe.yaml", "--yes")
    assert refused.code == 1, refused.text
    assert "[FTC635]" in refused.err
    assert "Traceback" not in refused.err


def test_the_device_runs_out_of_memory(project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def train(session: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("ftc.runtime.training.train.train", train)
    root = project(steps=1)
    refused = ftc("apply", "recipe.yaml", "--yes")
    assert refused.code == 1, refused.text
    assert "[FTC633]" in refused.err
    assert "train.micro_batch" in refused.text
    assert json.loads((run_folder(root) / "record.json").read_text())["status"] == "failed"
    monkeypatch.undo()


def test_a_checkpoint_that_changes_before_it_is_exported(project: MakeProject) -> None:
    root = project(steps=1)

    def spoil(event: Event) -> None:
        if event.kind == "checkpoint":
            (weights,) = run_folder(root).glob("checkpoints/*/trainable.safetensors")
            weights.write_bytes(weights.read_bytes()[:-1])

    with pytest.raises(Refusal) as refused:
        api.apply("recipe.yaml", on_event=spoil)
    assert [found.code for found in refused.value.diagnostics] == ["FTC630"]
    assert refused.value.exit_code == 6


def test_nobody_to_ask(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    before = set(contents(root))
    asked = ftc("apply", "recipe.yaml")
    assert asked.code == 64
    assert "--yes" in asked.text
    assert set(contents(root)) - before == {"recipe.lock.json"}
