"""Models without text to write as ONNX files, used by onnxruntime; `nox -s onnx` brings the packages."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftc import api
from ftc.runtime.exports import onnx as exporting
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel
from ftc.verbs import export_model as verb
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents
from tests.support.session_packages import package_of

onnx = package_of("onnx", "onnx")
onnxruntime = package_of("onnx", "onnxruntime")
package_of("onnx", "onnxscript")

KINDS = [
    ("classification", "encoder"),
    ("classification", "decoder"),
    ("multi_label", "encoder"),
    ("regression", "encoder"),
    ("token_classification", "encoder"),
    ("extraction", "encoder"),
    ("embedding", "encoder"),
]
"""Tasks with kinds of models."""


@pytest.fixture
def finished(project: MakeProject) -> Callable[..., api.Run]:
    def make(task: str, steps: int = 20, **recipe: str) -> api.Run:
        api.apply(project(task, steps=steps, **recipe) / "recipe.yaml")
        (run,) = api.runs()
        return run

    return make


def codes(refused: pytest.ExceptionInfo[Refusal]) -> set[str]:
    return {found.code for found in refused.value.diagnostics}


@pytest.mark.parametrize(("task", "model"), KINDS)
def test_a_file_is_the_tuned_model(finished: Callable[..., api.Run], ftc: Ftc, task: str, model: str) -> None:
    run = finished(task, model=model)
    before = contents(run.folder)
    answer = ftc("run", "export", run.record.id, "--format", "onnx", "-o", "dist/x", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    folder = Path("dist/x")
    assert made.parity.share < 1e-5
    assert made.parity.places == made.parity.same_choices >= 2 * made.parity.rows
    assert made.tokenized > 0
    assert made.tensor_types["FLOAT"] > 10
    assert made.answers is not None
    assert made.answers.same_answers == made.answers.rows or task == "extraction"
    assert made.answers.exported == pytest.approx(made.answers.tuned, abs=1e-4)
    assert made.answers.tuned
    assert contents(run.folder) == before
    assert {*made.files} >= {"tiny.onnx", "tokenizer.json", "use.py"}
    assert str(Path.cwd()).encode() not in (folder / "tiny.onnx").read_bytes(), "it holds no path of the machine"

    opened = onnxruntime.InferenceSession(str(folder / "tiny.onnx"), providers=["CPUExecutionProvider"])
    assert {tuple(one.shape) for one in opened.get_inputs()} == {("batch", "length")}
    for rows, length in ((1, 1), (3, 17), (5, 4)):
        ids = np.full((rows, length), 7, dtype=np.int64)
        inputs = {one.name: ids if one.name == "input_ids" else np.ones_like(ids) for one in opened.get_inputs()}
        found = opened.run(None, inputs)
        assert {len(one) for one in found} == {rows}
        assert all(np.isfinite(one).all() for one in found)

    origin = api.provenance(folder / "tiny.onnx")
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))
    assert origin.says is not None
    assert origin.says.adapter_sha256 == run.record.final_weights_sha256

    said = used(folder, *(("which sport", "a player won") if task == "extraction" else ("the player won", "a song")))
    assert len(said) == (1 if task == "extraction" else 2), "a line for each text"
    program = shlex.split(made.serve("dist/x"))
    assert program[:2] == ["python", "dist/x/use.py"]
    assert len(used(folder, *program[2:])) == 1, "the command that is shown runs as it stands"
    if task == "classification":
        predicted = api.predict(run, ["the player won", "a song"]).predictions
        assert [line.split("\t")[1] for line in said] == [one.prediction for one in predicted]


def used(folder: Path, *texts: str) -> list[str]:
    """What the program beside the file prints, in a process that knows neither ftc nor torch."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'ftc'])); "
    code = f"{blocked}import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    code = code.replace("sys.argv[0]", repr(str(folder / "use.py")))
    done = subprocess.run([sys.executable, "-c", code, *texts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_damaged_file_is_refused_and_nothing_is_kept(
    finished: Callable[..., api.Run], ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("classification", evaluation="gates: {loss: '<= 0.001'}")

    def refused(*codes_of: str) -> None:
        with pytest.raises(Refusal) as found:
            api.export_model(run, "onnx", "dist/x")
        assert codes(found) == {*codes_of}
        assert not Path("dist").exists() or not list(Path("dist").iterdir())

    refused("FTC670")
    finish = exporting._finish

    def damaged(model: Any, origin: str) -> None:
        import onnx_ir

        finish(model, origin)
        values = [one for one in model.graph.initializers.items() if sorted(one[1].shape) == [3, 32]]
        ((name, value),) = values  # of the head; one of a tiny model's layers hardly counts
        value.const_value = onnx_ir.tensor(value.const_value.numpy() * np.float32(1.01), name=name)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_finish", damaged)
        refused("FTC669")
    with monkeypatch.context() as patch:  # the adapter is forgotten
        patch.setattr(verb, "merge_into", lambda run, model, *_: forgetful(run, model))
        refused("FTC669")
    made = api.export_model(run, "onnx", "dist/x", waive=["loss"]).model
    assert made.answers is not None
    assert made.answers.waived == ("loss",)
    file = Path("dist/x/tiny.onnx")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "[FTC519]" in ftc("provenance", file).err


def forgetful(run: api.Run, folder: Path) -> None:
    """The base model with the run's head, and without its adapter."""
    import torch
    from safetensors.torch import load_file, save_file

    merged = run.root / "merged"
    api.merge(run, merged)
    shutil.copytree(merged, folder)
    base = load_file(run.root / "encoder" / "model.safetensors")
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if (other := base.get(name.removeprefix("bert."))) is not None and torch.is_tensor(other):
            weights[name] = other
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("task", ["generation", "summarization"])
def test_what_writes_text_is_refused_by_name(finished: Callable[..., api.Run], ftc: Ftc, task: str) -> None:
    run = finished(task, steps=2)
    answer = ftc("run", "export", run.record.id, "--format", "onnx", "-o", "dist/x")
    assert (answer.code, "[FTC666]" in answer.err, "--format gguf" in answer.text) == (1, True, True)
    assert not Path("dist").exists()
