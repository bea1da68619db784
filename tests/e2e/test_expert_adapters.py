"""LoRA on the experts of a mixture from its recipe to a merged model: planned, trained, audited, loaded by peft alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.resolve.models.weights import read_header
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.families import EXPERTS
from tests.support.projects import make_model

torch = pytest.importorskip("torch")

OTHERS = [one.model_type for one in EXPERTS if one.model_type != "olmoe"]
ALL = "target_parameters: all-experts"


@pytest.fixture
def recipe(project: MakeProject, models: Path) -> Any:
    """Makes a project with a tiny mixture of experts and `strategy: {kind: lora, rank: 4, MORE}`."""

    def make(kind: str, more: str, *, kept: str = "lora", train: str = "") -> Path:
        if not (models / kind).is_dir():
            make_model(models / kind, kind)
        project("pretraining", kept, steps=3, model=kind, more="")
        path = Path("recipe.yaml")
        text = path.read_text().replace(", rank: 4, dropout: 0.1", f", rank: 4, {more}")
        path.write_text(text.replace("train: {", f"train: {{{train}"), encoding="utf-8")
        return path

    return make


def logits(model: Any) -> Any:
    ids = torch.randint(4, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model.eval()(input_ids=ids).logits


def load(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:The following rank_pattern keys")  # peft looks for them among modules alone
@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys")
@pytest.mark.parametrize("kind", ["olmoe", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_an_adapter_of_experts_is_planned_trained_loaded_and_merged(recipe: Any, ftc: Ftc, kind: str) -> None:
    path = recipe(kind, f"targets: [o_proj], {ALL}, ranks: {{down_proj: 2}}, patterns: [{{modules: [experts.down_proj], layers: [1], alpha: 4}}]")
    plan = api.plan(path).plan
    adapter: Any = getattr(plan.settings.strategy, "adapter")
    sizes = read_header(Path(kind) / "model.safetensors")
    layers = 2 if not kind.startswith("deepseek") else 1
    assert (adapter.num_modules, adapter.num_parameters) == (2, 2 * layers)
    assert adapter.target_parameters == tuple(sorted(adapter.target_parameters))
    assert f"and {adapter.num_parameters} tensors of experts" in plan.settings.strategy.words()

    applied = api.apply(path)
    assert applied.record.status == "finished"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    folder = Path(applied.folder) / "adapter"
    written = read_header(folder / "adapter_model.safetensors")
    assert plan.model.num_trainable == sum(one.num_elements for one in written.values())
    said = json.loads((folder / "adapter_config.json").read_text())
    assert said["target_parameters"] == list(adapter.target_parameters)

    from peft import PeftModel

    beside = PeftModel.from_pretrained(load(Path(kind)), folder)
    adapted = logits(beside)
    with beside.disable_adapter():
        assert torch.equal(logits(beside), logits(load(Path(kind))))
    assert not torch.equal(adapted, logits(load(Path(kind))))
    assert ftc("merge", applied.record.id, "-o", "merged").code == 0
    assert {name: one.shape for name, one in read_header(Path("merged/model.safetensors")).items()} == {
        name: one.shape for name, one in sizes.items()
    }
    torch.testing.assert_close(logits(load(Path("merged"))), adapted, rtol=1e-4, atol=1e-5)
    changed = ftc("run", "inspect", applied.record.id)
    print(changed.text[:2500])
    print(ftc("plan","recipe.yaml").text[:3000])
