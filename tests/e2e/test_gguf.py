"""A run's model for llama.cpp and Ollama, by the real converter and the real library; `nox -s gguf` brings both."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.exports import gguf as exporting
from ftc.runtime.exports.children import convert, convert_adapter
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import ExportedModel, TemplateKept
from ftc.spec.documents.ledger import ModelExported, read_ledger
from ftc.verbs import export_model as verb
from tests.e2e.conftest import Ftc, MakeProject, in_a_copy, pushed_as_made
from tests.support.hub_server import HubServer
from tests.support.projects import contents, make_project
from tests.support.test_rows import as_gated, asked, make_learnable, outcomes_of, score, sources_of

pytestmark = pytest.mark.skipif("FTC_GGUF" not in os.environ, reason="has its own session: nox -s gguf")

SPLITS = "gpt-2"
"""How the tiny tokenizer splits texts: llama.cpp's converter knows tokenizers by their digests, and not this one."""
GATES = "samples: 2, metrics: [loss, rouge_l], gates: {loss: '<= 9', rouge_l: '>= 0.99'}"


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run finished with a gate that failed; its tests work on copies."""
    from ftc.runtime.exports.converter import converter_folder

    folder = tmp_path_factory.mktemp("gguf")
    kept = converter_folder(None, offline=False)  # in the user's own cache, where it stays
    make_project(folder / "project", models, "generation", steps=30, evaluation=GATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        assert api.apply(folder / "project" / "recipe.yaml").record.status == "gate_failed"
    shutil.copytree(kept, folder / "cache" / "converters" / kept.name)
    return folder / "project"


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> api.Run:
    in_a_copy(finished, tmp_path, monkeypatch)
    (found,) = api.runs()
    return found


def codes(refused: pytest.ExceptionInfo[Refusal]) -> set[str]:
    return {found.code for found in refused.value.diagnostics}


def nothing_left() -> bool:
    return not Path("dist").exists() or not list(Path("dist").iterdir())


def test_a_file_for_ollama_is_the_tuned_model(run: api.Run, ftc: Ftc) -> None:
    from gguf import GGUFReader

    before = contents(run.folder)
    answer = ftc(
        "run", "export", run.record.id, "--format", "ollama", "-o", "dist/demo", "--pre-tokenizer", SPLITS, "--json"
    )
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.parity.share < 1e-5
    assert made.parity.same_choices == made.parity.places > 0
    assert made.tokenized > 0
    assert set(made.tensor_types) == {"F32"}
    assert made.speed is not None
    assert made.speed.tokens_per_second > 0
    assert made.speed.tuned_tokens_per_second is None, "the run's reference stands for the tuned model"
    assert made.speed.rows == made.parity.rows < made.speed.tokens
    file = Path("dist/demo/tiny-f32.gguf")
    says = GGUFReader(file).get_field("ftc")
    assert says is not None
    assert json.loads(says.contents())["name"] == "tiny"
    assert Path("dist/demo/export.json").read_text() == made.to_text()
    assert contents(run.folder) == before
    assert api.audit(run).findings == ()
    assert [one.format for one in read_ledger(run.root) if isinstance(one, ModelExported)] == ["ollama"]
    origin = api.provenance(file)
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))

    text = Path("dist/demo/Modelfile").read_text()
    assert text.startswith("FROM ./tiny-f32.gguf\n")
    assert made.template is not None
    validated = run.plan.data["validation"].rows
    assert made.template == TemplateKept(kind="ollama", conversations=8, rows=validated, keeps_spaces=True)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "[FTC519]" in ftc("provenance", file).err


def test_fewer_bits_have_to_keep_the_gates(run: api.Run, ftc: Ftc) -> None:
    words = (
        "run",
        "export",
        run.record.id,
        "--format",
        "gguf",
        "--pre-tokenizer",
        SPLITS,
        "--type",
        "q8_0",
        "-o",
        "dist/q8",
    )
    refused = ftc(*words)
    assert (refused.code, "[FTC670]" in refused.err, nothing_left()) == (7, True, True)
    answer = ftc(*words, "--waive", "rouge_l", "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    answers = made.answers
    assert answers is not None
    assert "Q8_0" in made.tensor_types
    assert made.speed is not None
    assert made.speed.tuned_tokens_per_second is not None, "it answers beside the file"
    assert min(made.speed.tokens_per_second, made.speed.tuned_tokens_per_second) > 0
    assert {one.metric: one.passed for one in answers.gates} == {"loss": True, "rouge_l": False}
    assert answers.waived == ("rouge_l",)
    assert answers.exported["loss"] == pytest.approx(answers.tuned["loss"], rel=0.01)
    assert made.conversion.share < made.parity.share


def test_a_file_that_is_another_model_is_refused(run: api.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(**more: Any) -> None:
        with pytest.raises(Refusal) as refused:
            api.export_model(run, "gguf", "dist/x", **{"pre_tokenizer": SPLITS, **more})
        assert codes(refused) == {"FTC668" if more else "FTC669"}
        assert nothing_left()

    export(pre_tokenizer=None)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "convert", damaging(convert))
        export()
    with monkeypatch.context() as patch:  # the adapter is forgotten
        patch.setattr(verb, "merge_into", lambda found, model, *_: shutil.copytree(run.root / "decoder", model))
        export()


def damaging(original: Any) -> Any:
    """The converter, with one of the last layer's weights 1 % too large."""

    def converted(converter: Path, model: Path, target: Path, *others: Any) -> None:
        from gguf import GGUFReader

        original(converter, model, target, *others)
        reader = GGUFReader(target, "r+")
        (tensor,) = [one for one in reader.tensors if one.name == "blk.1.attn_output.weight"]
        tensor.data[:] *= 1.01
        reader.data.flush()

    return converted


LAYERS = "ranks: {down_proj: 6}, alphas: {q_proj: 3, v_proj: 5}, rank_stabilized: true"
"""Layers whose updates are multiplied by five different numbers."""


@pytest.fixture(scope="module")
def unequal(finished: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run learned an adapter with another scale for every kind of layer."""
    folder = tmp_path_factory.mktemp("unequal")
    make_project(folder / "project", models, "generation", f"lora, {LAYERS}", steps=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        api.apply(folder / "project" / "recipe.yaml")
    shutil.copytree(finished.parent / "cache" / "converters", folder / "cache" / "converters", dirs_exist_ok=True)
    return folder / "project"


@pytest.mark.parametrize("bits", ["f32", "f16", "bf16"])
def test_an_adapter_beside_the_base_is_the_tuned_model(run: api.Run, ftc: Ftc, bits: str) -> None:
    from gguf import GGUFReader

    before = contents(run.folder)
    words = ("--format", "lora-gguf", "-o", "dist/demo", "--pre-tokenizer", SPLITS, "--type", bits)
    answer = ftc("run", "export", run.record.id, *words, "--json")
    assert answer.code == 0, answer.err
    made = ExportedModel.model_validate_json(json.dumps(json.loads(answer.out)["export"]))
    assert made.parity.share < (1e-5 if bits == "f32" else 1e-3)
    assert made.parity.same_choices == made.parity.places > 0
    assert made.tokenized > 0
    assert set(made.tensor_types) == {bits.upper()}
    assert made.speed is not None
    assert made.speed.tokens_per_second > 0
    file = Path("dist/demo") / made.model_file
    assert sorted(one.name for one in file.parent.iterdir()) == ["export.json", file.name]
    reader = GGUFReader(file)
    said = {name: reader.get_field(name) for name in ("general.type", "adapter.type", "ftc")}
    words_of = {name: field.contents() for name, field in said.items() if field}
    assert (words_of["general.type"], words_of["adapter.type"]) == ("adapter", "lora")
    assert json.loads(words_of["ftc"])["adapter_sha256"] == run.record.final_weights_sha256
    assert made.serve("dist/demo") == f"llama-server -m decoder.gguf --lora dist/demo/{file.name}"
    assert contents(run.folder) == before
    origin = api.provenance(file)
    assert (origin.confirmed, origin.runs) == ("same bytes", (run.record.id,))
    assert api.audit(run).findings == ()


def test_every_layer_of_an_adapter_keeps_its_own_scale(
    unequal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf import GGUFReader

    in_a_copy(unequal, tmp_path, monkeypatch)
    (run,) = api.runs()
    made = api.export_model(run, "lora-gguf", "dist/x", pre_tokenizer=SPLITS).model
    assert made.parity.share < 1e-5
    ranks = {
        int(one.shape[-1])
        for one in GGUFReader(Path("dist/x") / made.model_file).tensors
        if one.name.endswith("lora_a")
    }
    assert ranks == {4, 6}
    with monkeypatch.context() as patch:  # as by the converter alone, which knows one alpha and no root of a rank
        patch.setattr(exporting, "_with_one_scale", lambda settings, adapter, folder: adapter)
        with pytest.raises(Refusal) as refused:
            api.export_model(run, "lora-gguf", "dist/y", pre_tokenizer=SPLITS)
    assert codes(refused) == {"FTC669"}
    assert not Path("dist/y").exists()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's own library
def test_an_adapter_is_pushed_with_how_it_is_used(run: api.Run, server: HubServer) -> None:
    made = api.export_model(run, "lora-gguf", "dist/x", pre_tokenizer=SPLITS).model
    card = pushed_as_made(run, server, "dist/x", kind="lora-gguf", library="gguf", waive=("rouge_l",))
    assert f"llama-server -m {made.base}.gguf --lora {made.model_file}" in card
    assert f"hf download me/lora-gguf {made.model_file}" in card


def test_an_adapter_that_is_another_one_is_refused(run: api.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(factor: float) -> Any:
        def converted(converter: Path, base: Path, adapter: Path, target: Path, *others: Any) -> None:
            from gguf import GGUFReader

            convert_adapter(converter, base, adapter, target, *others)
            reader = GGUFReader(target, "r+")
            for tensor in reader.tensors:
                if tensor.name.endswith("lora_b"):
                    tensor.data[:] *= factor
            reader.data.flush()

        return converted

    for factor in (1.01, 0.0):
        with monkeypatch.context() as patch:
            patch.setattr(exporting, "convert_adapter", scaled(factor))
            with pytest.raises(Refusal) as refused:
                api.export_model(run, "lora-gguf", "dist/x", pre_tokenizer=SPLITS)
        assert codes(refused) == {"FTC669"}
        assert nothing_left()


def test_a_run_of_an_earlier_release_has_no_reference(run: api.Run) -> None:
    (run.folder / "reference.safetensors").unlink()
    record = run.record.model_copy(
        update={"outputs": {name: one for name, one in run.record.outputs.items() if name != "reference.safetensors"}}
    ).sealed()
    (run.folder / "record.json").write_text(record.to_text(), encoding="utf-8")
    made = api.export_model(replace(run, record=record), "gguf", "dist/x", pre_tokenizer=SPLITS).model
    assert made.parity.share < 1e-5


def test_a_real_server_serves_the_run(run: api.Run, ftc: Ftc) -> None:
    """llama.cpp's own server has the exported file; then the base model's, which is found out."""
    xllamacpp = pytest.importorskip("xllamacpp")
    words = ("--format", "gguf", "--pre-tokenizer", SPLITS, "-o", "dist/tiny")
    assert ftc("run", "export", run.record.id, *words).code == 0
    (file,) = Path("dist/tiny").glob("*.gguf")
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup = str(file), 256, 2, False
    params.port, params.cpuparams.n_threads = 0, 1
    server = xllamacpp.Server(params)
    answer = ftc("run", "eval", run.record.id, "--server", f"{server.listening_address}/v1", "--type", "f16", "--json")
    found = json.loads(answer.out)
    assert found["prompts"]["by"] == "text"
    assert found["prompts"]["same"] == found["prompts"]["rows"]
    assert found["parity"]["same_choices"] == found["parity"]["places"]
    assert found["answered"] == found["rows"]
    assert found["failed"] == []
    assert {one["code"] for one in found["findings"]} <= {"FTC756"}, answer.text


@pytest.mark.parametrize(
    ("format", "bits", "strategy"), [("gguf", "f32", "full"), ("gguf", "q8_0", "full"), ("lora-gguf", "f32", "lora")]
)
def test_a_real_server_answers_the_test_rows_as_gated(
    finished: Path, project: MakeProject, ftc: Ftc, tmp_path: Path, format: str, bits: str, strategy: str
) -> None:
    """llama.cpp's own server has the exported file; its answers are scored here, and by `ftc run eval --server`."""
    xllamacpp = pytest.importorskip("xllamacpp")
    shutil.copytree(finished.parent / "cache" / "converters", tmp_path / "cache" / "converters")
    gated = "metrics: [rouge_l], gates: {rouge_l: '>= 0.25'}"
    run = api.apply(make_learnable(project("generation", strategy, steps=60, evaluation=gated), "generation", strategy))
    words = ("--format", format, "--type", bits, "--pre-tokenizer", SPLITS, "-o", "dist/x")
    answer = ftc("run", "export", run.record.id, *words)
    assert answer.code == 0, answer.err
    (file,) = Path("dist/x").glob("*.gguf")
    params = xllamacpp.CommonParams()
    params.n_ctx, params.n_parallel, params.warmup, params.port, params.cpuparams.n_threads = 256, 1, False, 0, 1
    params.model.path = str(file)
    if format == "lora-gguf":
        (converter,) = (tmp_path / "cache" / "converters").iterdir()
        (tmp_path / "scratch").mkdir()
        convert(converter, run.root / "decoder", tmp_path / "base.gguf", tmp_path / "scratch", {}, SPLITS)
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(file), 1.0
        params.model.path, params.lora_adapters = str(tmp_path / "base.gguf"), [adapter]
    server = xllamacpp.Server(params)
    url, most, rows = f"{server.listening_address}/v1", run.plan.settings.eval.max_new_tokens, sources_of(run)
    said = [asked(url, "tiny", row["question"], most) for row in rows]
    if bits == "f32":
        assert said == [one.tuned.text for one in outcomes_of(run)]
    as_gated(run, "rouge_l", score("rouge_l", [row["answer"] for row in rows], said), same=bits == "f32")
    found = json.loads(ftc("run", "eval", run.record.id, "--server", url, "--test", "--type", "f16", "--json").out)
    assert found["answered"] == found["rows"] == len(rows)
    assert [one["passed"] for one in found["answers"]["gates"]] == [True]
