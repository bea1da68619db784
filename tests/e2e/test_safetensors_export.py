"""Models as folders of safetensors: proved beside the tuned model, and loaded by transformers alone."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.artifacts.merge import write_weights
from ftc.runtime.exports import safetensors_folder as exporting
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel
from ftc.views.exported import exported_text
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents

KINDS = [
    ("chat", "decoder", "lora", "vllm"),
    ("generation", "decoder", "full", "vllm"),
    ("summarization", "encoder_decoder", "lora", "merged"),
    ("classification", "encoder", "full", "merged"),
    ("embedding", "encoder", "lora", "merged"),
    ("reranking", "encoder", "full", "merged"),
    ("preference", "decoder", "lora", "merged"),
]


@pytest.fixture
def finished(project: MakeProject) -> Callable[..., api.Run]:
    def make(task: str, **recipe: str) -> api.Run:
        api.apply(project(task, steps=20, **recipe) / "recipe.yaml")
        (run,) = api.runs()
        return run

    return make


@pytest.mark.sample(1)
@pytest.mark.parametrize(("task", "model", "strategy", "format"), KINDS)
def test_a_folder_is_the_tuned_model(
    finished: Callable[..., api.Run], ftc: Ftc, task: str, model: str, strategy: str, format: str
) -> None:
    from safetensors import safe_open

    run = finished(task, model=model, strategy=strategy)
    before = contents(run.folder)
    answer = ftc("run", "export", run.record.id, "--format", format, "--type", "f16", "-o", "dist/x", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.parity.holds
    speed = made.speed
    assert speed is not None
    tuned = speed.tuned_tokens_per_second
    assert (tuned is None) == (task == "preference"), "it is loaded for the gates alone"
    assert speed.tokens_per_second > 0
    assert tuned is None or tuned > 0
    assert (speed.rows, speed.threads) == (made.parity.rows, run.plan.settings.device.threads)
    assert speed.tokens > speed.rows
    assert made.tensor_types.keys() <= {"F16", "I64"}
    assert made.tokenized > 0
    assert contents(run.folder) == before
    config = json.loads(Path("dist/x/config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float16"
    with safe_open("dist/x/model.safetensors", framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {*made.tensor_types}  # noqa: SIM118
    origin = api.provenance(Path("dist/x/model.safetensors"))
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))
    changed = bytearray(Path("dist/x/model.safetensors").read_bytes())
    changed[-1] ^= 1
    Path("other.safetensors").write_bytes(changed)
    with pytest.raises(Refusal) as refused:
        api.provenance(Path("other.safetensors"))
    assert {one.code for one in refused.value.diagnostics} == {"FTC519"}
    assert made.serve("dist/x") == ("vllm serve dist/x --served-model-name tiny" if format == "vllm" else "")


@pytest.mark.slow
def test_the_written_model_goes_before_it_is_loaded_again(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load, made, alive = finished("classification"), vars(exporting)["load_base"], list[Any](), list[int]()

    def loaded(*given: Any, **more: Any) -> Any:
        alive.append(sum(one() is not None for one in made))
        model = load(*given, **more)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(exporting, "load_base", loaded)
    api.export_model(run, "merged", "dist", weight_type="bf16")
    assert alive == [0, 0], "each takes four bytes a weight"


@pytest.mark.slow
def test_the_bits_of_float32_are_those_of_the_run(finished: Callable[..., api.Run], ftc: Ftc) -> None:
    from safetensors.torch import load_file

    run = finished("chat", model="decoder", strategy="full")
    assert ftc("run", "export", run.record.id, "--format", "vllm", "--type", "f32", "-o", "dist").code == 0
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run.folder / "model", Path("dist")))
    assert ours.keys() == theirs.keys()
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        assert (Path("dist") / name).read_bytes() == (run.folder / "model" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a tensor times 1.1", "another template"])
def test_a_folder_that_is_not_the_tuned_model_is_refused(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    import torch

    run = finished("chat", model="decoder", strategy="lora")
    write = write_weights

    def damaged(session: Any, weights: Any, weight_type: Any, most: int, folder: Path) -> None:
        if damage == "a tensor times 1.1":
            with torch.no_grad():
                next(iter(weights.model.model.layers)).mlp.down_proj.weight.mul_(1.1)
        write(session, weights, weight_type, most, folder)
        if damage == "another template":
            (folder / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")

    monkeypatch.setattr(exporting, "write_weights", damaged)
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "vllm", Path("dist"), weight_type="f32")
    assert {one.code for one in refused.value.diagnostics} == {"FTC669"}
    assert not Path("dist").exists()


@pytest.mark.slow
def test_the_answer_tells_the_speed_where_it_is_known(finished: Callable[..., api.Run]) -> None:
    made = api.export_model(finished("chat", model="decoder", strategy="full"), "vllm", "dist").model
    assert made.speed is not None
    known = {"tokens_per_second": 1030.4, "tuned_tokens_per_second": 736.0, "rows": 8, "tokens": 412, "threads": 2}
    both = made.model_copy(update={"speed": made.speed.model_copy(update=known)})
    words = " ".join(exported_text(both, "dist").split())
    assert "reads 1,030 tokens/s here · 1.4 times the tuned model's speed" in words
    assert "8 rows with 412 tokens in all, each row alone · 2 threads" in words
    alone = {**known, "tokens_per_second": 4.25, "tuned_tokens_per_second": None}
    words = exported_text(made.model_copy(update={"speed": made.speed.model_copy(update=alone)}), "dist")
    assert "reads 4.2 tokens/s here" in words
    assert "the tuned model's speed" not in words
    text = json.loads(Path("dist/export.json").read_text(encoding="utf-8"))
    del text["speed"]  # of an earlier release
    older = ExportedModel.model_validate_json(json.dumps(text))
    assert older.speed is None
    assert "tokens/s" not in exported_text(older, "dist")


def test_models_that_do_not_write_are_not_for_vllm(finished: Callable[..., api.Run]) -> None:
    run = finished("classification", model="encoder", strategy="lora")
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "vllm", Path("dist"))
    (found,) = refused.value.diagnostics
    assert found.code == "FTC666"
