"""LoRA on the experts of a mixture from its recipe to a merged model: planned, trained, audited, read by peft alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc import api
from ftc.compiler.memory.merge_sizes import merge_room
from ftc.compiler.resolve.machine.device import resolve_device
from ftc.compiler.resolve.models.weights import read_header
from ftc.compiler.rules import device_rules
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.families import EXPERTS
from tests.support.projects import make_model

OTHERS = [one.model_type for one in EXPERTS if one.model_type != "olmoe"]
ALL = "target_parameters: all-experts"
MakeRecipe = Callable[..., Path]


@pytest.fixture
def recipe(project: MakeProject, models: Path) -> MakeRecipe:
    """Makes a project with a tiny mixture of experts and `strategy: {kind: KIND, rank: 4, MORE}`."""

    def make(model: str, more: str, *, kind: str = "lora", train: str = "", budget: str = "") -> Path:
        if not (models / model).is_dir():
            make_model(models / model, model)
        project("pretraining", kind, steps=3, model=model, more="")
        path = Path("recipe.yaml")
        text = path.read_text().replace(", rank: 4, dropout: 0.1", f", rank: 4, {more}")
        text = text.replace("train: {", f"train: {{{train}").replace("budget: {", f"budget: {{{budget}")
        path.write_text(text, encoding="utf-8")
        return path

    return make


def load(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def logits(model: Any) -> torch.Tensor:
    ids = torch.randint(4, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
    return found


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")  # peft looks for them among modules
@pytest.mark.parametrize("kind", ["olmoe", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_an_adapter_of_experts_is_planned_trained_read_and_merged(recipe: MakeRecipe, ftc: Ftc, kind: str) -> None:
    own = "ranks: {down_proj: 2}, patterns: [{modules: [experts.down_proj], layers: [1], alpha: 4}]"
    path = recipe(kind, f"targets: [o_proj], {ALL}, {own}")
    plan = api.plan(path).plan
    strategy: Any = plan.settings.strategy
    layers = 1 if kind.startswith("deepseek") else 2  # the first layer of these is dense
    assert (strategy.adapter.num_modules, strategy.adapter.num_parameters) == (2, 2 * layers)
    assert f"on 2 modules and {2 * layers} tensors of experts" in ftc("plan", "recipe.yaml").text

    applied = api.apply(path)
    assert applied.record.status == "finished"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    folder = Path(applied.folder) / "adapter"
    written = read_header(folder / "adapter_model.safetensors")
    assert plan.model.num_trainable == sum(one.num_elements for one in written.values())
    said = json.loads((folder / "adapter_config.json").read_text())
    assert said["target_parameters"] == list(strategy.adapter.target_parameters)

    from peft import PeftModel

    beside: Any = PeftModel.from_pretrained(load(Path(kind)), folder)
    adapted, base = logits(beside), logits(load(Path(kind)))
    with beside.disable_adapter():
        assert torch.equal(logits(beside), base)
    assert not torch.equal(adapted, base)
    assert ftc("merge", applied.record.id, "-o", "merged").code == 0
    shapes = [
        {name: one.shape for name, one in read_header(Path(place) / "model.safetensors").items()}
        for place in ("merged", kind)
    ]
    assert shapes[0] == shapes[1]
    torch.testing.assert_close(logits(load(Path("merged"))), adapted, rtol=1e-4, atol=1e-5)
    assert "experts.down_proj" in ftc("run", "inspect", applied.record.id, "--json").text


def test_experts_of_one_layer_alone(recipe: MakeRecipe) -> None:
    plan = api.plan(recipe("qwen3_moe", "targets: [], target_parameters: [1.mlp.experts.down_proj]")).plan
    strategy: Any = plan.settings.strategy
    assert (strategy.adapter.targets, strategy.adapter.num_modules, strategy.adapter.num_parameters) == ((), 0, 1)
    assert strategy.words() == "LoRA r=4 on 1 tensor of experts"
    assert "experts" in str(strategy.no_lora_file()), "other programs have no such file"
    inputs, outputs = 24, 32  # of one of four experts
    assert plan.model.num_trainable == 4 * 4 * (inputs + outputs)
    applied = api.apply(Path("recipe.yaml"))
    assert applied.record.status == "finished"
    names = read_header(Path(applied.folder) / "adapter/adapter_model.safetensors")
    assert sorted(names) == [f"base_model.model.model.layers.1.mlp.experts.lora_{half}.weight" for half in "AB"]


def test_merging_has_room_for_all_experts_of_a_layer(recipe: MakeRecipe) -> None:
    with_experts, without = recipe("olmoe", ALL), Path("without.yaml")
    without.write_text(with_experts.read_text().replace(f", {ALL}", ""), encoding="utf-8")
    sizes, machine = read_header(Path("olmoe/model.safetensors")), resolve_device("cpu")
    mixture = architecture("olmoe").experts
    rooms = [merge_room(api.plan(one).plan, sizes, mixture, "float32", machine) for one in (with_experts, without)]
    layer = sum(one.num_elements for name, one in sizes.items() if "layers.0.mlp.experts" in name)
    assert rooms[0].memory_bytes - rooms[1].memory_bytes > 4 * 4 * layer / 2, "four copies of the larger tensor"


def test_experts_stay_frozen_unless_asked_for(recipe: MakeRecipe) -> None:
    text = api.plan(recipe("olmoe", "targets: all-linear")).plan.to_text()
    assert "target_parameters" not in text
    assert "tensors of experts" not in text


@pytest.mark.parametrize(
    ("more", "others", "code", "at"),
    [
        (f"{ALL}, dropout: 0.1", {}, "FTC270", "strategy.dropout"),
        (f"{ALL}, dora: true", {}, "FTC270", "strategy.dora"),
        (f"{ALL}, init: pissa", {}, "FTC270", "strategy.init"),
        (f"{ALL}, init: orthogonal", {}, "FTC270", "strategy.init"),
        ("targets: []", {}, "FTC224", "strategy.targets"),
        ("target_parameters: [mlp.experts.down_prj]", {}, "FTC224", "strategy.target_parameters[0]"),
        ("targets: [down_proj]", {}, "FTC224", "strategy.targets[0]"),
        (f"{ALL}, modules_to_save: [experts]", {}, "FTC271", "strategy.modules_to_save[0]"),
        (f"{ALL}, ranks: {{up_proj: 2}}", {}, "FTC224", "strategy.ranks"),
        (ALL, {"train": "compile: true, "}, "FTC259", "train.compile"),
        (ALL, {"train": "sharding: fsdp, ", "budget": "devices: 2, "}, "FTC291", "train.sharding"),
    ],
)
def test_what_adapters_of_experts_cannot_have(
    recipe: MakeRecipe, more: str, others: dict[str, str], code: str, at: str
) -> None:
    with pytest.raises(Refusal) as refused:
        api.plan(recipe("olmoe", more, **others))
    found = [one for one in refused.value.diagnostics if one.code == code]
    assert [one.path for one in found] == [at]
    assert found[0].help


def test_a_dense_model_has_no_experts(recipe: MakeRecipe) -> None:
    with pytest.raises(Refusal) as refused:
        api.plan(recipe("decoder", ALL))
    assert [(one.code, one.path) for one in refused.value.diagnostics] == [("FTC224", "strategy.target_parameters")]


def test_an_early_peft_is_refused_by_name(recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_rules, "installed_release", lambda package: (0, 19))
    with pytest.raises(Refusal) as refused:
        api.plan(recipe("olmoe", ALL))
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC650", "strategy.target_parameters")
    assert "peft 0.20" in found.summary
    path = Path("recipe.yaml")
    path.write_text(path.read_text().replace(f", {ALL}", ""), encoding="utf-8")
    api.plan(path)
