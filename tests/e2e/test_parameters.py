"""Parameters chosen by name, from recipe to audit: what is frozen stays, and each group learns at its own rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ftc import api
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import make_model

RATES = (
    "parameter_groups: [{parameters: [word_embeddings], learning_rate: 1e-5}, "
    "{parameters: [layer.1.output], learning_rate: 2e-4}], layer_decay: 0.5"
)


def edit(before: str, after: str) -> None:
    file = Path("recipe.yaml")
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.slow
def test_a_run_changes_what_its_patterns_leave_and_is_replayed(project: MakeProject, ftc: Ftc) -> None:
    project("classification", "full, freeze: [layer.0, position_embeddings]", steps=3)
    edit("train: {", f"train: {{{RATES}, ")
    plan = api.plan(Path("recipe.yaml")).plan
    rates = [(group.parameters, group.learning_rate) for group in plan.settings.train.parameter_groups]
    assert rates == [
        (("word_embeddings",), 1e-5),
        (("layer.1.output",), 2e-4),
        (("layer.1",), 5e-4),
        (("embeddings",), 1.25e-4),
    ]
    text = ftc("plan", "recipe.yaml").text
    assert "full fine-tuning without layer.0, position_embeddings" in text
    assert "word_embeddings 1e-5, layer.1.output 2e-4, 2 more groups" in text

    applied = api.apply(Path("recipe.yaml"))
    assert api.audit(applied.record.id, level="full").verdict == "REPRODUCED_BITWISE"
    (model,) = Path("runs").glob("*/*/model")
    base, tuned = load_file("encoder/model.safetensors"), load_file(model / "model.safetensors")
    for name, weight in base.items():
        if "pooler" in name and f"bert.{name}" not in tuned:
            continue
        is_frozen = ".layer.0." in name or "position_embeddings" in name
        is_same = torch.equal(weight, tuned[f"bert.{name}"])
        assert is_same == is_frozen or (is_same and "token_type" in name), name


@pytest.mark.slow
def test_experts_are_chosen_whole(project: MakeProject, models: Path) -> None:
    if not (models / "qwen3_moe").is_dir():
        make_model(models / "qwen3_moe", "qwen3_moe")
    project("pretraining", "partial, parameters: [layers.1.mlp.experts, lm_head]", steps=2, model="qwen3_moe")
    applied = api.apply(Path("recipe.yaml"))
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    (model,) = Path("runs").glob("*/*/model")
    base, tuned = load_file("qwen3_moe/model.safetensors"), load_file(model / "model.safetensors")
    changed = {name for name, weight in base.items() if not torch.equal(weight, tuned[name])}
    assert changed
    assert {name for name in base if ".layers.1.mlp.experts." in name} >= changed - {"lm_head.weight"}

    edit("layers.1.mlp.experts, lm_head", "experts.1")
    with pytest.raises(Refusal) as refused:
        api.plan(Path("recipe.yaml"))
    assert [one.code for one in refused.value.diagnostics] == ["FTC453"]


def test_routers_are_named_by_the_key_that_trains_them(project: MakeProject, models: Path) -> None:
    if not (models / "qwen3_moe").is_dir():
        make_model(models / "qwen3_moe", "qwen3_moe")
    project("pretraining", "partial, parameters: [mlp.gate]", steps=2, model="qwen3_moe")
    with pytest.raises(Refusal) as refused:
        api.plan(Path("recipe.yaml"))
    assert [one.help for one in refused.value.diagnostics] == [("set `train_router: true` in `train`",)]
    edit("train: {", "train: {train_router: true, ")
    assert api.plan(Path("recipe.yaml")).plan.model.num_trainable == 2 * 4 * 32


def test_embeddings_and_an_output_layer_that_shares_them_may_both_be_named(project: MakeProject) -> None:
    """As lists do that were written for many models."""
    project("pretraining", "partial, parameters: [embed_tokens, lm_head]", steps=2)
    edit("train: {", "train: {parameter_groups: [{parameters: [embed_tokens, lm_head], learning_rate: 1e-5}], ")
    assert api.plan(Path("recipe.yaml")).plan.model.num_trainable > 0
    edit("parameters: [embed_tokens, lm_head]}", "parameters: [lm_head]}")
    with pytest.raises(Refusal) as refused:
        api.plan(Path("recipe.yaml"))
    assert "name those" in refused.value.diagnostics[0].help[0]
