"""A base model whose files hold quantized weights trains as the model with the numbers that these stand for."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ftc import api
from ftc.compiler.resolve.models.weights import read_header
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.quantized_files import DEQUANTIZING_BYTES
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner
from tests.support.projects import make_model
from tests.support.quantized_files import quantized_copies

COMPRESSED = pytest.mark.skipif(find_spec("compressed_tensors") is None, reason="an extra of ftc")


def losses(folder: Path) -> list[str]:
    """The loss of each step of a run."""
    return [one.loss for one in read_step_log(RunFolder(folder).step_log).steps.values()]


def inspected(ftc: Ftc, run: str) -> Any:
    """How far each weight of a run moved."""
    answer = ftc("run", "inspect", run, "--no-states", "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["changes"]


def sizes(plan: Plan) -> tuple[int, int, dict[str, int]]:
    """What a plan counts."""
    peaks = {one.phase: one.peak_bytes for one in plan.memory.phases if one.phase != "load"}
    return plan.model.num_parameters, plan.model.num_trainable, peaks


@pytest.mark.parametrize(
    ("kind", "method", "strategy"),
    [
        ("decoder", "fp8", "lora"),
        ("decoder", "fp8", "full"),
        ("gpt_oss", "mxfp4", "lora"),
        pytest.param("gpt_oss", "mxfp4", "lora, target_parameters: all-experts", marks=pytest.mark.slow),
        pytest.param("gpt_oss", "mxfp4", "full", marks=pytest.mark.slow),
        pytest.param("qwen3_moe", "fp8", "lora", marks=pytest.mark.slow),
        pytest.param("decoder", "compressed_fp8", "lora", marks=COMPRESSED),
        pytest.param("decoder", "compressed_int4", "lora", marks=COMPRESSED),
        pytest.param("decoder", "compressed_int4", "full", marks=COMPRESSED),
    ],
)
def test_it_trains_as_the_model_that_it_stands_for(
    project: MakeProject, ftc: Ftc, cards: CardRunner, kind: str, method: str, strategy: str
) -> None:
    project("pretraining", strategy, steps=3)
    source = make_model(Path("base"), kind)
    packed, whole = quantized_copies(source, method)
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    if "target_parameters" in strategy:
        text = text.replace(", dropout: 0.1", "")
    folders, plans = [], []
    for base in (packed, whole):
        recipe = Path(f"{base.name}.yaml")
        start = text.index("base: ") + 6
        recipe.write_text(text[:start] + base.name + text[text.index("}", start) :], encoding="utf-8")
        applied = api.apply(recipe)
        assert applied.record.status == "finished"
        assert api.audit(applied.record.id).verdict == "CONSISTENT"
        folders.append(Path(applied.folder))
        plans.append(applied.plan)
    assert losses(folders[0]) == losses(folders[1])
    assert sizes(plans[0]) == sizes(plans[1])
    assert plans[0].settings.model.quantized_files is not None
    assert plans[1].settings.model.quantized_files is None
    left = "adapter/adapter_model.safetensors" if strategy.startswith("lora") else "model/model.safetensors"
    ours, theirs = (load_file(folder / left) for folder in folders)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    if strategy.startswith("lora"):
        assert ftc("merge", folders[0].name, "-o", "merged").code == 0
    else:
        (folders[0] / "model").rename("merged")
    assert "quantization_config" not in json.loads(Path("merged/config.json").read_text(encoding="utf-8"))
    assert read_header(Path("merged/model.safetensors")).keys() == read_header(whole / "model.safetensors").keys()


@pytest.fixture
def taught(project: MakeProject) -> list[Path]:
    """Recipes of runs that learn from a teacher in quantized files, and from the model that it stands for."""
    project("pretraining", "lora", steps=3)
    text, recipes = Path("recipe.yaml").read_text(encoding="utf-8"), []
    for teacher in quantized_copies(make_model(Path("large"), "decoder"), "fp8"):
        recipes.append(Path(f"{teacher.name}.yaml"))
        lesson = f"train: {{distillation: {{teacher: {teacher.name}}}, "
        recipes[-1].write_text(text.replace("train: {", lesson), encoding="utf-8")
    return recipes


def test_a_plan_counts_and_shows_that_a_teacher_is_dequantized(taught: list[Path], ftc: Ftc) -> None:
    plans = [api.plan(one).plan for one in taught]
    assert sizes(plans[0]) == sizes(plans[1])
    layers = (one for name, one in read_header(Path("large/model.safetensors")).items() if "layers" in name)
    ours, theirs = (next(one for one in plan.memory.phases if one.phase == "load") for plan in plans)
    assert ours.components["teacher"] == theirs.components["teacher"]
    assert ours.components["temporaries"] == DEQUANTIZING_BYTES * max(one.num_elements for one in layers)
    shown = "FP8 in the teacher's files · dequantized to float32 while they are loaded"
    assert shown in ftc("plan", taught[0]).text


@pytest.mark.slow
def test_a_teacher_is_the_model_that_its_files_stand_for(taught: list[Path]) -> None:
    ours, theirs = map(api.apply, taught)
    assert losses(Path(ours.folder)) == losses(Path(theirs.folder))
    assert api.audit(ours.record.id).verdict == "CONSISTENT"
