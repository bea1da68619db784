"""A mixture of experts from its recipe to a merged model: planned, trained, audited, merged, loaded by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ftc import api
from ftc.compiler.resolve.models.weights import read_header
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.families import EXPERTS
from tests.support.projects import make_model

OTHERS = [one.model_type for one in EXPERTS if one.model_type not in ("qwen3_moe", "mixtral")]


def counted(folder: Path, kind: str, experts: int, chosen: int) -> tuple[int, int]:
    """All weights in a file, and those that a token goes through: of each layer's experts as many as are chosen."""
    mixture = architecture(kind).experts
    assert mixture is not None
    sizes = {name: one.num_elements for name, one in read_header(folder / "model.safetensors").items()}
    of_experts = sum(size for name, size in sizes.items() if mixture.is_expert(name))
    total = sum(sizes.values())
    return total, total - of_experts + of_experts * chosen // experts


def made(models: Path, kind: str) -> None:
    """A tiny model, unless another test made it."""
    if not (models / kind).is_dir():
        make_model(models / kind, kind)


def load(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize(
    "kind", ["qwen3_moe", *(pytest.param(one, marks=pytest.mark.slow) for one in ("mixtral", *OTHERS))]
)
def test_an_adapter_is_planned_trained_and_merged(project: MakeProject, models: Path, ftc: Ftc, kind: str) -> None:
    made(models, kind)
    project("pretraining", "lora", steps=2, model=kind, more="")
    recipe = Path("recipe.yaml")
    mixture = architecture(kind).experts
    aux_loss = 0.01 if mixture and mixture.has_loss else None
    if aux_loss is not None:
        text = recipe.read_text().replace("train: {", f"train: {{router_aux_loss: {aux_loss}, ")
        recipe.write_text(text, encoding="utf-8")
    plan = api.plan(recipe).plan
    total, active = counted(Path(kind), kind, 4, 2)
    assert (plan.model.num_parameters, plan.model.num_active) == (total, active)
    assert active < total
    assert "active (" in ftc("plan", "recipe.yaml").text
    assert not [one for one in plan.not_checked if one.startswith("architecture")]
    router = plan.settings.train.router
    assert router is not None
    assert (router.trained, router.aux_loss) == (False, aux_loss)

    applied = api.apply(recipe)
    assert applied.record.status == "finished"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    assert ftc("merge", applied.record.id, "-o", "merged").code == 0
    assert read_header(Path("merged/model.safetensors")).keys() == read_header(Path(kind) / "model.safetensors").keys()
    from peft import PeftModel

    ids = torch.randint(4, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    (adapter,) = Path(applied.folder).glob("adapter")
    with torch.inference_mode():
        adapted = PeftModel.from_pretrained(load(Path(kind)), adapter).eval()(input_ids=ids).logits
        torch.testing.assert_close(load(Path("merged"))(input_ids=ids).logits, adapted, rtol=1e-4, atol=1e-5)


def test_a_whole_model_has_the_names_of_its_base_and_loads_elsewhere(project: MakeProject, models: Path) -> None:
    made(models, "olmoe")
    project("pretraining", "full", steps=2, model="olmoe")
    applied = api.apply(Path("recipe.yaml"))
    assert applied.record.status == "finished"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    before, after = (
        read_header(Path("olmoe/model.safetensors")),
        read_header(Path(applied.folder) / "model/model.safetensors"),
    )
    assert {name: one.shape for name, one in after.items()} == {name: one.shape for name, one in before.items()}
    assert load(Path(applied.folder) / "model").config.model_type == "olmoe"
    assert api.load(applied.record.id).predict(["the red player"])
    plan = applied.plan
    routers = sum(one.num_elements for name, one in before.items() if ".gate." in name)
    assert plan.model.num_trainable == plan.model.num_parameters - routers, "routers are frozen"


@pytest.mark.parametrize("kind", ["qwen3_moe", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_packing_leaves_experts_as_they_are(models: Path, kind: str) -> None:
    """Why qlora is refused (FTC268): should transformers pack them one day, this says so."""
    pytest.importorskip("bitsandbytes")
    import transformers

    made(models, kind)
    options = {"dtype": torch.bfloat16, "quantization_config": transformers.BitsAndBytesConfig(load_in_4bit=True)}
    model = transformers.AutoModelForCausalLM.from_pretrained(models / kind, **options)
    held = {name: one.dtype for name, one in model.named_parameters()}
    of_experts = [name for name in held if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]
    assert of_experts
    assert {held[name] for name in of_experts} == {torch.bfloat16}
    assert {kept for name, kept in held.items() if name.endswith("o_proj.weight")} == {torch.uint8}


@pytest.mark.parametrize(
    ("task", "strategy", "more", "code"),
    [
        ("pretraining", "qlora", "", "FTC268"),
        ("pretraining", "lora", "train_router: true, ", "FTC269"),
        ("rated", "lora", "router_aux_loss: 0.01, ", "FTC267"),
    ],
)
def test_what_experts_cannot_do(
    project: MakeProject, models: Path, task: str, strategy: str, more: str, code: str
) -> None:
    made(models, "olmoe")
    project(task, strategy, steps=2, model="olmoe")
    recipe = Path("recipe.yaml")
    recipe.write_text(recipe.read_text().replace("train: {", f"train: {{{more}"), encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        api.plan(recipe)
    assert code in {one.code for one in refused.value.diagnostics}
