"""Models without text to write as ONNX files, used by onnxruntime; `nox -s onnx` brings the packages."""

from __future__ import annotations

import json
import math
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
from ftc.runtime.exports.onnx_file import quantize
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel
from ftc.verbs import export_model as verb
from ftc.verbs.provenance import _read_onnx
from tests.e2e.conftest import Ftc, MakeProject, pushed_as_made
from tests.support.hub_server import HubServer
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
    ("token_classification", "decoder"),
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
    assert made.parity.holds
    assert made.parity.places >= 2 * made.parity.rows
    assert made.tokenized > 0
    assert made.tensor_types["FLOAT"] > 10
    assert made.answers is not None
    least = made.parity.least_same if task != "extraction" else 0  # tiny models choose among near equal places
    assert made.answers.same_answers is None or made.answers.same_answers >= least * made.answers.rows
    assert made.answers.exported == pytest.approx(made.answers.tuned, abs=1e-4)
    assert made.answers.tuned
    assert made.speed is not None
    assert made.speed.tuned_tokens_per_second is not None
    assert min(made.speed.tokens_per_second, made.speed.tuned_tokens_per_second) > 0
    assert made.speed.rows == made.parity.rows < made.speed.tokens
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


def used(folder: Path, *texts: str, code: int = 0) -> list[str]:
    """What the program beside the file prints, or its complaint, in a process that knows neither ftc nor torch."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'ftc'])); "
    lines = f"{blocked}import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    lines = lines.replace("sys.argv[0]", repr(str(folder / "use.py")))
    done = subprocess.run(
        [sys.executable, "-c", lines, *texts], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, done.stderr
    return (done.stderr if code else done.stdout).splitlines()


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
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_finish", lambda model, origin: spoiled(model, origin, 3, 1.01))
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


@pytest.mark.parametrize(("task", "model"), [("classification", "encoder"), ("token_classification", "decoder")])
def test_a_file_of_8_bits_is_smaller_and_proved_twice(
    finished: Callable[..., api.Run], ftc: Ftc, task: str, model: str
) -> None:
    run = finished(task, model=model)
    answer = ftc("run", "export", run.record.id, "--format", "onnx", "--type", "int8_dynamic", "-o", "dist/x", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.conversion.allowed < made.parity.allowed
    assert made.conversion.share < made.parity.share, "the file in float32 is proved by itself, more tightly"
    assert made.tensor_types["INT8"] > 5
    assert made.answers is not None
    assert made.speed is not None
    assert made.speed.tokens_per_second > 0
    full = api.export_model(run, "onnx", "dist/full").model
    assert made.files[made.model_file].size < full.files[full.model_file].size
    assert made.files == api.export_model(run, "onnx", "dist/again", weight_type="int8_dynamic").model.files
    assert str(Path.cwd()).encode() not in Path("dist/x", made.model_file).read_bytes()
    origin = api.provenance(Path("dist/x") / made.model_file)
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))
    assert len(used(Path("dist/x"), "the player won", "a song")) == 2


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's own library
def test_a_file_is_pushed_with_its_program(finished: Callable[..., api.Run], server: HubServer) -> None:
    run = finished("classification")
    api.export_model(run, "onnx", "dist/x", weight_type="int8_dynamic")
    card = pushed_as_made(run, server, "dist/x", kind="onnx", library="onnx")
    assert "tiny-int8_dynamic.onnx" in server.repos["me/onnx"].files
    assert 'python tiny/use.py "A text."' in card
    assert "hf download me/onnx --local-dir tiny" in card


def coarse(factor: float) -> Callable[[Path, Path, Path], None]:
    """The quantizer, with the weights of a head of three classes scaled otherwise."""

    def write(full: Path, file: Path, scratch: Path) -> None:
        quantize(full, file, scratch)
        model = onnx.load(str(file))
        (scale,) = (one for one in model.graph.initializer if one.name.endswith("_scale") and list(one.dims) == [3])
        scale.CopyFrom(onnx.numpy_helper.from_array(factor * onnx.numpy_helper.to_array(scale), scale.name))
        onnx.save(model, str(file))

    return write


def test_8_bits_that_break_a_gate_are_refused(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores within their bound are not enough: the gate lies between the loss of float32 and that of 8 bits."""
    run = finished("classification", evaluation="gates: {loss: '<= 100'}")

    def loss(name: str, type_name: str) -> float:
        found = api.export_model(run, "onnx", f"dist/{name}", weight_type=type_name).model.answers
        assert found is not None
        return found.exported["loss"]

    full, found = loss("f32", "f32"), dict[float, float]()
    for factor in (0.9, 1.1):  # a loss curves upwards over the scale of its scores, so that one of the two is worse
        monkeypatch.setattr(exporting, "quantize", coarse(factor))
        found[factor] = loss(f"{factor}", "int8_dynamic")
    worst = max(found, key=lambda factor: found[factor])
    assert found[worst] > full
    monkeypatch.setattr(exporting, "quantize", coarse(worst))
    recipe = Path("recipe.yaml")
    recipe.write_text(recipe.read_text().replace("'<= 100'", f"'<= {(full + found[worst]) / 2:.8f}'"))
    run = api.apply(recipe)
    assert api.export_model(run, "onnx", "dist/holds").model.answers is not None
    with pytest.raises(Refusal) as refused:
        api.export_model(run, "onnx", "dist/breaks", weight_type="int8_dynamic")
    assert codes(refused) == {"FTC670"}
    assert not Path("dist/breaks").exists()
    waived = api.export_model(run, "onnx", "dist/waived", weight_type="int8_dynamic", waive=["loss"]).model.answers
    assert waived is not None
    assert [one.passed for one in waived.gates] == [False]


def test_a_file_of_8_bits_that_says_something_else_is_refused(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("classification")
    monkeypatch.setattr(exporting, "quantize", coarse(-3.0))
    with pytest.raises(Refusal, match="in int8_dynamic differs") as found:
        api.export_model(run, "onnx", "dist/x", weight_type="int8_dynamic")
    assert codes(found) == {"FTC669"}
    monkeypatch.setattr(exporting, "quantize", lambda full, *rest: quantize(full.with_name("none"), *rest))
    with pytest.raises(Refusal) as found:
        api.export_model(run, "onnx", "dist/x", weight_type="int8_dynamic")
    assert codes(found) == {"FTC668"}
    assert not Path("dist").exists() or not list(Path("dist").iterdir())


def test_the_digest_of_tensors_is_of_their_values(tmp_path: Path, ftc: Ftc) -> None:
    """Wherever the file keeps them; what lies in another file is said to, and not left out."""
    digests, file = set(), tmp_path / "one.onnx"
    for values in ([1.0, 2.0], [1.0, 3.0]):
        weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], values)
        assert not weights.raw_data
        model = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [], [weights]))
        onnx.save(model, str(file))
        digests.add(_read_onnx(file)[1])
        weights = onnx.numpy_helper.from_array(np.array(values, np.float32), "w")
        assert weights.raw_data
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [], [weights])), str(file))
        digests.add(_read_onnx(file)[1])
    assert len(digests) == 2
    model = onnx.load(str(file))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "elsewhere")
    onnx.save(model, str(file))
    refused = ftc("provenance", file)
    assert ("[FTC518]" in refused.err, "lie in another file" in refused.text) == (True, True)


FINISH = exporting._finish


def spoiled(model: Any, origin: str, outputs: int, factor: float) -> None:
    """A graph whose head, which counts more than one of a tiny model's layers, is multiplied by a factor."""
    import onnx_ir

    FINISH(model, origin)
    ((name, value),) = (one for one in model.graph.initializers.items() if sorted(one[1].shape) == [outputs, 32])
    value.const_value = onnx_ir.tensor(value.const_value.numpy() * np.float32(factor), name=name)


def test_scores_that_are_no_numbers_are_refused(
    finished: Callable[..., api.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("regression", steps=2)
    monkeypatch.setattr(exporting, "_finish", lambda model, origin: spoiled(model, origin, 1, math.nan))
    with pytest.raises(Refusal, match="no numbers") as found:
        api.export_model(run, "onnx", "dist/x")
    assert codes(found) == {"FTC669"}
    assert not Path("dist").exists() or not list(Path("dist").iterdir())


def test_pairs_are_read_as_pairs(project: MakeProject) -> None:
    """By the run, by the proof of the tokenizer, and by the program, which cuts them as the run did."""
    from tokenizers import Tokenizer, processors

    root = project("regression")
    lines = [json.loads(line) for line in (root / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = [{**line, "text_pair": f"{line['text']} in an old film"} for line in lines]
    (root / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs), encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(root / "encoder" / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.save(str(root / "encoder" / "tokenizer.json"))
    run = api.apply(root / "recipe.yaml")
    made = api.export_model(run, "onnx", "dist/x").model
    assert made.tokenized > 0
    assert made.serve("x").count('" "') == 1
    texts = [("the player won", "a match"), ("a song", "the bank raised the price " * 20)]
    predicted = api.predict(run, [{"text": one, "text_pair": other} for one, other in texts]).predictions
    said = used(Path("dist/x"), *texts[0], *texts[1])
    assert [line.split("\t")[:2] for line in said] == [list(pair) for pair in texts]
    scores = [float(line.rsplit(" ", 1)[1]) for line in said]
    assert scores == pytest.approx([one.numbers["score"] for one in predicted], rel=1e-3), "a pair is no single text"
    assert used(Path("dist/x"), "alone", code=1) == ["usage: python use.py TEXT SECOND_TEXT..."]


def test_what_the_program_says_of_long_texts_and_missing_ones(finished: Callable[..., api.Run]) -> None:
    run = finished("extraction", steps=2)
    api.export_model(run, "onnx", "dist/x")
    folder = Path("dist/x")
    assert used(folder, code=1) == used(folder, "which", code=1) == ["usage: python use.py QUESTION CONTEXT..."]
    assert used(folder, "which sport", "") == ["which sport\tno answer"]
    assert used(folder, "which sport " * 40, "a goal", code=1)[0].startswith("a question may have")
    (said,) = used(folder, "which sport", "the player scored a goal and won the match " * 20)
    longest = run.plan.settings.eval.max_answer_tokens
    assert longest is not None
    assert len(said.partition("\t")[2].split()) <= longest


def test_words_that_were_cut_off_have_no_tag(finished: Callable[..., api.Run]) -> None:
    run = finished("token_classification", steps=2)
    api.export_model(run, "onnx", "dist/x")
    (said,) = used(Path("dist/x"), "player won " * 60)
    words = said.split()
    assert (len(words), "/" in words[0], words[-1]) == (120, True, "won")


def test_queries_and_passages_have_their_own_prefixes(project: MakeProject) -> None:
    root = project("embedding", steps=2)
    recipe = (root / "recipe.yaml").read_text(encoding="utf-8")
    prefixed = recipe.replace("kind: embedding", "kind: embedding, query_prefix: 'q: ', passage_prefix: 'p: '")
    (root / "recipe.yaml").write_text(prefixed, encoding="utf-8")
    run = api.apply(root / "recipe.yaml")
    assert api.export_model(run, "onnx", "dist/x").model.tokenized > 0
    (query,), (passage,) = used(Path("dist/x"), "a goal"), used(Path("dist/x"), "--passage", "a goal")
    assert query != passage
    assert query.startswith("a goal ")


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


@pytest.mark.parametrize(
    ("task", "format", "advised"),
    [
        ("generation", "onnx", "--format gguf"),
        ("summarization", "onnx", "--format merged"),
        ("reranking", "onnx", "--format merged"),
        ("reranking", "gguf", "--format merged"),
        ("classification", "gguf", "--format onnx"),
    ],
)
def test_the_advice_is_a_format_that_takes_the_model(
    finished: Callable[..., api.Run], ftc: Ftc, task: str, format: str, advised: str
) -> None:
    run = finished(task, steps=2)
    answer = ftc("run", "export", run.record.id, "--format", format, "-o", "dist/x")
    assert (answer.code, "[FTC666]" in answer.err) == (1, True)
    found = [one for one in ("--format gguf", "--format onnx", "--format merged") if one in answer.text]
    assert found == [advised]
    assert not Path("dist").exists()
