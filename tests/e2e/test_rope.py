"""Scaled rotary positions: rows beyond the model's own positions, in training, in what comes after, and elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from ftc import api
from ftc.runtime.models.base_model import scale_rotation
from ftc.spec.architectures import ARCHITECTURES
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.sections.model import RopeKind
from tests.e2e.conftest import MakeProject
from tests.support.cards import CardRunner
from tests.support.projects import make_model
from tests.support.tiny_architectures import tiny_config


def edit(rope: str, length: int | str = 40) -> None:
    file = Path("recipe.yaml")
    text = file.read_text(encoding="utf-8").replace("max_length: 32", f"max_length: {length}")
    file.write_text(text.replace("base: ./short", f"base: ./short{rope}"), encoding="utf-8")


def found() -> list[tuple[str, str]]:
    with pytest.raises(Refusal) as refusal:
        api.plan(Path("recipe.yaml"))
    return [(one.code, one.path or "") for one in refusal.value.diagnostics if one.is_error]


@pytest.fixture
def short(models: Path) -> str:
    """A model of 24 positions, whose rows are longer."""
    if not (models / "short").is_dir():
        make_model(models / "short", "decoder", length=24)
        config = models / "short" / "tokenizer_config.json"
        values = json.loads(config.read_text()) | {"model_max_length": 1000}
        config.write_text(json.dumps(values))
    return "short"


@pytest.mark.slow
def test_a_model_with_scaled_positions_is_the_same_elsewhere(
    short: str, project: MakeProject, cards: CardRunner
) -> None:
    project("chat", "lora", steps=2, model=short)
    edit(", rope: {kind: yarn, factor: 2}")
    plan = api.plan(Path("recipe.yaml")).plan
    assert plan.settings.model.rope == RopeSettings(kind="yarn", factor=2.0, original=24, positions=48)
    assert plan.data["train"].length_max > 24
    run = api.apply(Path("recipe.yaml")).record
    assert api.audit(run.id, level="full").verdict == "REPRODUCED_BITWISE"
    folder = api.find_run(run.id).folder
    assert cards.run(folder / "README.md")
    api.merge(run.id, Path("merged"))
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained("merged").eval()
    assert loaded.config.max_position_embeddings == 48
    assert loaded.config.rope_parameters["rope_type"] == "yarn"
    plain: Any = transformers.AutoModelForCausalLM.from_pretrained("short").eval()
    frequencies = [one.model.rotary_emb.inv_freq for one in (loaded, plain)]
    assert not torch.equal(*frequencies)
    written = json.loads(Path("merged/config.json").read_text())
    told = [written[name]["rope_type"] for name in ("rope_parameters", "rope_scaling")]
    assert told == ["yarn", "yarn"], "for libraries that know the words of either transformers"
    recipe = Path("recipe.yaml").read_text()
    Path("recipe.yaml").write_text(recipe.replace("./short", "./merged"))
    assert found() == [("FTC476", "model.rope")]


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
def test_rows_beyond_the_positions_need_a_scaling(kind: str, short: str, project: MakeProject) -> None:
    project("chat", "lora", model=short)
    edit("")
    assert ("FTC221", "data.max_length") in found()
    edit(f", rope: {{kind: {kind}, factor: 1.5}}")
    assert ("FTC221", "data.max_length") in found(), "36 positions are too few for 40"


def test_the_factor_follows_from_the_longest_row(short: str, project: MakeProject) -> None:
    project("chat", "lora", model=short)
    edit(", rope: {kind: yarn}", length=60)
    plan = api.plan(Path("recipe.yaml")).plan
    assert plan.settings.model.rope == RopeSettings(kind="yarn", factor=3.0, original=24, positions=72)


@pytest.mark.parametrize("length", ["auto", "24", "24577"])
def test_a_factor_that_rows_leave_open_or_beyond_all_use_is_told(length: str, short: str, project: MakeProject) -> None:
    project("chat", "lora", model=short)
    edit(", rope: {kind: yarn}", length=length)
    assert found() == [("FTC476", "model.rope")]


def test_a_rotation_that_is_scaled_already_is_left_alone(short: str, project: MakeProject) -> None:
    project("chat", "lora", model=short)
    config = Path("short/config.json")
    scaling = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rope_parameters": scaling}))
    edit(", rope: {kind: yarn, factor: 2}")
    assert found() == [("FTC476", "model.rope")]


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
@pytest.mark.parametrize("model_type", [one.model_type for one in ARCHITECTURES if one.scales_rotation][::9])
def test_the_table_says_which_models_a_scaling_acts_on(model_type: str, kind: RopeKind) -> None:
    plain, scaled = tiny_config(model_type), tiny_config(model_type)
    positions = plain.max_position_embeddings
    scale_rotation(scaled, RopeSettings(kind=kind, factor=4.0, original=positions, positions=4 * positions))
    encoders = next(one for one in ARCHITECTURES if one.model_type == model_type).family == "encoder"
    made: Any = transformers.AutoModel if encoders else transformers.AutoModelForCausalLM
    ids = torch.arange(2 * positions)[None] % 40
    states = []
    for config in (plain, scaled):
        torch.manual_seed(0)
        with torch.no_grad():
            states.append(made.from_config(config).eval()(ids)[0])
    assert states[1].isfinite().all()
    assert not torch.allclose(states[0], states[1], atol=1e-6)
