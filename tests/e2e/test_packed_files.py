"""A base model in GPTQ's or AWQ's files is trained by an adapter, and memory holds its layers as the files do."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers

from ftc import api
from ftc.compiler.resolve.models.packed_files import packed_layers, packing_of
from ftc.compiler.resolve.models.weights import read_weights
from ftc.runtime.models.packed_layers import load_packed
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.packed_files import packed_copies
from tests.support.projects import make_model
from tests.support.session_packages import package_of


def with_base(base: str, name: str) -> Path:
    """The project's recipe with another base model."""
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    start = text.index("base: ") + 6
    recipe = Path(f"{name}.yaml")
    recipe.write_text(text[:start] + base + text[text.index("}", start) :], encoding="utf-8")
    return recipe


def losses(folder: Path) -> list[float]:
    """The loss of each step of a run."""
    return [float.fromhex(one.loss) for one in read_step_log(RunFolder(folder).step_log).steps.values()]


def held(plan: Plan) -> int:
    """Bytes of weights while the model is loaded."""
    return next(one for one in plan.memory.phases if one.phase == "load").components["weights"]


@pytest.mark.parametrize(("layout", "bits", "mixed"), [("gptq", 4, True), ("gptq_v2", 8, False), ("awq", 4, False)])
def test_it_trains_as_the_model_that_it_stands_for(project: MakeProject, layout: str, bits: int, mixed: bool) -> None:
    project("pretraining", "lora", steps=3)
    packed, whole = packed_copies(make_model(Path("base"), "decoder"), layout, bits, mixed=mixed)
    ours, theirs = (api.apply(with_base(base.name, base.name)) for base in (packed, whole))
    for applied in (ours, theirs):
        assert applied.record.status == "finished"
        assert api.audit(applied.record.id).verdict == "CONSISTENT"
    assert losses(ours.folder) == pytest.approx(losses(theirs.folder), abs=1e-4)
    assert ours.plan.model.num_parameters == theirs.plan.model.num_parameters
    assert ours.plan.model.num_trainable == theirs.plan.model.num_trainable
    assert held(ours.plan) < 0.65 * held(theirs.plan)


@pytest.fixture
def packed(project: MakeProject) -> Path:
    """A recipe in a project whose base is in GPTQ's files."""
    project("chat", "lora", steps=4)
    base, _ = packed_copies(make_model(Path("base"), "decoder"), "gptq")
    return with_base(base.name, "packed")


def test_a_run_is_what_it_is_for_other_bases(packed: Path, ftc: Ftc) -> None:
    whole = api.apply(packed)
    paused = api.apply(packed, again=True, until=2)
    assert paused.record.status == "paused"
    ended = api.apply(packed)
    assert ended.record.id == paused.record.id
    assert ended.record.final_weights_sha256 == whole.record.final_weights_sha256
    assert losses(ended.folder) == losses(whole.folder)
    run = ended.record.id
    for words in (("audit", run, "--level", "replay", "--steps", "2"), ("run", "inspect", run), ("run", "eval", run)):
        answer = ftc(*words)
        assert answer.code == 0, (words, answer.text)
    for verb in (("merge", run, "-o", "whole"), ("export", run, "--format", "merged", "-o", "whole")):
        answer = ftc("run", *verb)
        assert answer.code != 0
        assert "GPTQ weights, which would be rounded again" in answer.text
    assert not Path("whole").exists()
    assert ftc("predict", run, "What is a file?").code == 0
    shown = ftc("plan", packed).text
    assert "GPTQ in the model's files · kept in memory in 4 bits with a scale for 16 inputs" in shown


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"strategy.kind": "full"}, "strategy.kind"),
        ({"strategy.kind": "qlora"}, "strategy.kind"),
        ({"strategy.kind": "ia3"}, "strategy.kind"),
        ({"strategy.dora": "true"}, "strategy.dora"),
        ({"strategy.init": "pissa"}, "strategy.init"),
        ({"train.distillation": "{teacher: base_gptq}"}, "train.distillation.teacher"),
        ({"budget.devices": "2", "train.sharding": "fsdp"}, "train.sharding"),
        ({"budget.nodes": "2", "budget.devices": "2", "train.sharding": "hsdp"}, "train.sharding"),
    ],
)
def test_what_needs_whole_weights_is_refused(packed: Path, changed: dict[str, str], path: str) -> None:
    with pytest.raises(Refusal) as refused:
        api.plan(packed, overrides=[f"{key}={value}" for key, value in changed.items()])
    assert ("FTC313", path) in {(one.code, one.path) for one in refused.value.diagnostics}


def test_several_devices_hold_all_of_them(packed: Path) -> None:
    alone, shared = (api.plan(packed, overrides=[f"budget.devices={count}"]).plan for count in (1, 2))
    assert shared.settings.train.sharding == "ddp"
    assert held(shared) == held(alone)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "mixed"), [("float32", False), ("bfloat16", True)])
@pytest.mark.filterwarnings("ignore")
def test_losses_are_those_of_transformers_and_peft(tmp_path: Path, dtype: str, mixed: bool) -> None:
    """Both layers in the same loop, bit for bit."""
    for name in ("gptqmodel", "optimum"):
        package_of("gptq", name)
    base, _ = packed_copies(make_model(tmp_path / "base", "decoder"), "gptq")
    said = json.loads((base / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    weights = read_weights(base, base)
    _, ours = packed_layers(weights.tensors, packing_of(said, "gptq"))
    options = {"dtype": getattr(torch, dtype), "local_files_only": True}
    theirs = transformers.GPTQConfig(bits=4, backend="gptq_torch")
    models = (
        load_packed(transformers.AutoModelForCausalLM, base, dict(options), ours),
        transformers.AutoModelForCausalLM.from_pretrained(base, quantization_config=theirs, **options),
    )
    found = []
    for model in models:
        torch.manual_seed(0)
        adapted = peft.get_peft_model(
            model, peft.LoraConfig(target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
        )
        optimizer = torch.optim.SGD([one for one in adapted.parameters() if one.requires_grad], lr=0.5)
        ids = torch.arange(24)[None]
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = adapted(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(loss.item())
    assert found[:3] == found[3:]
