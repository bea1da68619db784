"""Models with weights of few bits: proved beside the tuned model, and loaded by transformers and torchao alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.exports import quantized_folder, safetensors_folder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel
from ftc.spec.model_formats import FILE_TYPES
from ftc.verbs import export_model
from tests.e2e.conftest import Ftc, MakeProject

pytest.importorskip("torchao")

KINDS = [one.name for one in FILE_TYPES if one.quantized is not None]


@pytest.fixture
def finished(project: MakeProject) -> Callable[..., api.Run]:
    def make(task: str, **recipe: Any) -> api.Run:
        api.apply(project(task, steps=20, **recipe) / "recipe.yaml")
        (run,) = api.runs()
        return run

    return make


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_few_bits_is_the_tuned_model(finished: Callable[..., api.Run], ftc: Ftc, kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    run = finished("chat", model="decoder", strategy="lora")
    answer = ftc("run", "export", run.record.id, "--format", "merged", "--type", kind, "-o", "dist/x", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.parity.holds
    assert made.conversion.share < 1e-4
    assert made.answers is not None
    assert made.speed is None, "what was compared are the weights as float32"
    assert made.packages.keys() == {"safetensors", "torch", "torchao", "transformers"}
    stored = "F8_E4M3" if kind == "float8" else "I8"
    assert made.tensor_types[stored] >= 14, "seven linear layers in each of two layers"
    assert any(f"linear layers have weights in {kind}" in note for note in made.notes)
    loaded = AutoModelForCausalLM.from_pretrained("dist/x")
    assert type(loaded.model.layers[0].mlp.up_proj.weight).__module__.startswith("torchao.")
    with torch.inference_mode():
        assert loaded(input_ids=torch.arange(5)[None]).logits.isfinite().all()
    origin = api.provenance(Path("dist/x/model.safetensors"))
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))


@pytest.mark.slow
def test_equal_exports_have_equal_bytes(finished: Callable[..., api.Run], ftc: Ftc) -> None:
    run = finished("generation", model="decoder", strategy="full")
    for name in ("one", "two"):
        done = ftc("run", "export", run.record.id, "--format", "vllm", "--type", "int8", "-o", name)
        assert done.code == 0, done.err
        assert f"vllm serve {name}" in done.text
    files = sorted(path.name for path in Path("one").iterdir())
    assert all(Path("one", name).read_bytes() == Path("two", name).read_bytes() for name in files)
    assert ftc("run", "export", run.record.id, "--format", "vllm", "--type", "bf16", "-o", "three").code == 0
    assert size_of(Path("one")) < size_of(Path("three"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a tensor times 1.01", "the merged weights", "another scale"])
def test_a_damaged_folder_is_refused(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    import torch

    run = finished("chat", model="decoder", strategy="lora")
    if damage == "the merged weights":
        load = vars(safetensors_folder)["load_base"]

        def loaded(*given: Any, **more: Any) -> Any:
            model = load(*given, **more)
            with torch.no_grad():
                model.model.layers[0].mlp.down_proj.weight.mul_(1.1)
            return model

        monkeypatch.setattr(safetensors_folder, "load_base", loaded)
    else:
        write = vars(quantized_folder)["write_shards"]

        def damaged(session: Any, forms: Any, tensor_of: Any, *more: Any) -> None:
            def other(name: str) -> torch.Tensor:
                tensor: torch.Tensor = tensor_of(name)
                place = "layers.1.self_attn.o_proj._weight_scale"
                return tensor * (1.01 if damage == "a tensor times 1.01" else 2) if name.endswith(place) else tensor

            write(session, forms, other, *more)

        monkeypatch.setattr(quantized_folder, "write_shards", damaged)
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "merged", Path("dist"), weight_type="int8")
    assert {one.code for one in refused.value.diagnostics} == {"FTC669"}
    assert not Path("dist").exists()


@pytest.mark.slow
def test_a_gate_that_fails_with_the_folder_is_told(finished: Callable[..., api.Run]) -> None:
    gates = "samples: 2, metrics: [loss], gates: {loss: '<= 0.001'}"
    run = finished("chat", model="decoder", strategy="lora", evaluation=gates)
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "merged", Path("dist"), weight_type="int4")
    assert {one.code for one in refused.value.diagnostics} == {"FTC670"}
    made = api.export_model(run, "merged", Path("dist"), weight_type="int4", waive=["loss"]).model
    assert made.answers is not None
    assert made.answers.changes["loss"].interval is not None


def test_without_the_package_it_is_said_before_anything_is_made(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("classification", model="encoder", strategy="lora")
    monkeypatch.setattr(export_model, "find_spec", lambda name: None)
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "merged", Path("dist"), weight_type="int8")
    (found,) = refused.value.diagnostics
    assert found.code == "FTC650"
    assert "ftc[torchao]" in str(found.help)
