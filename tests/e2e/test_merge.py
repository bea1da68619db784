"""A run's adapter merged into its base: others load it, it says the same, and its origin is known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from ftc import api
from ftc.compiler.resolve.models.weights import read_metadata
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.ledger import Merged, read_ledger
from ftc.spec.documents.provenance import METADATA_KEY, header_text, provenance_of
from ftc.verbs import merge as merging
from ftc.verbs.export_model import write_modelfile
from tests.e2e.conftest import Ftc, finished_project, in_a_copy
from tests.support.projects import contents, recipe_of


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run of a classifier; its tests work on copies."""
    return finished_project(tmp_path_factory.mktemp("merge"), models, steps=2)


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


@pytest.fixture
def run(root: Path) -> api.Run:
    (found,) = api.runs()
    return found


def codes(refused: pytest.ExceptionInfo[Refusal]) -> set[str]:
    return {found.code for found in refused.value.diagnostics}


def test_others_load_it_and_its_origin_is_known(run: api.Run, ftc: Ftc) -> None:
    transformers = pytest.importorskip("transformers")
    before = contents(run.folder)
    answer = ftc("merge", run.record.id, "-o", "merged/model", "--json")
    assert answer.code == 0, answer.err
    made, agrees = json.loads(answer.out)["merge"], json.loads(answer.out)["merge"]["agreement"]
    assert (made["weight_type"], agrees["split"], agrees["same_choices"]) == (
        "float32",
        "validation",
        agrees["choices"],
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained("merged/model")
    assert list(model.config.id2label.values()) == list(run.plan.settings.text.labels)
    assert transformers.AutoTokenizer.from_pretrained("merged/model").pad_token == "<pad>"
    files = {name.partition("/")[2]: sha256 for name, sha256 in contents(Path("merged")).items()}
    assert {name: facts["sha256"] for name, facts in made["files"].items()} == {
        name: sha256 for name, sha256 in files.items() if name not in ("README.md", "merge.json")
    }
    assert json.loads(Path("merged/model/merge.json").read_text()) == made
    assert contents(run.folder) == before
    assert api.audit(run).verdict == "CONSISTENT"

    shown = ftc("show", run.record.id)
    assert f"merged merged/model in float32, tensors {made['content_sha256'][:4]}" in shown.text
    origin = api.provenance("merged/model")
    assert (origin.confirmed, origin.runs, origin.is_merged) == ("same bytes", (run.record.id,), True)
    assert origin.content_sha256 == made["content_sha256"]
    assert origin.says is not None
    assert origin.says.adapter_sha256 == run.record.final_weights_sha256


def test_a_run_keeps_what_its_model_says_of_a_few_rows(run: api.Run) -> None:
    """Whatever is made of the model later is compared with it, so a changed one is as bad as a changed weight."""
    from safetensors.numpy import load_file

    kept = load_file(run.folder / "reference.safetensors")
    assert len(kept["rows"]) == min(8, run.plan.data["validation"].rows)
    assert kept["scores"].shape == (len(kept["rows"]), len(run.plan.settings.text.labels))
    assert (kept["scores"][:, 0] <= kept["log_sum_exp"]).all()
    file = run.folder / "reference.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert "the run's folder: reference.safetensors" in {one.subject for one in api.audit(run).findings}


@pytest.mark.slow
def test_the_same_weights_in_parts_and_in_fewer_bits(run: api.Run, ftc: Ftc) -> None:
    from safetensors.numpy import save_file

    one = api.merge(run, "one", dtype="bfloat16").model
    parts = api.merge(run, "parts", dtype="bfloat16", shard_bytes=20_000).model
    assert one.content_sha256 == parts.content_sha256
    assert len(parts.weight_files) > 2
    assert max(facts.size for facts in parts.weight_files.values()) < 30_000
    assert one.files["config.json"] == parts.files["config.json"]
    assert [entry.folder for entry in read_ledger(run.root) if isinstance(entry, Merged)] == ["one", "parts"]
    for place in ("parts", f"parts/{min(parts.weight_files)}"):
        assert api.provenance(place).confirmed == "same bytes"
    file = Path("one/model.safetensors")
    save_file({"classifier.bias": numpy.ones(3)}, file, metadata=read_metadata(file))
    liar = ftc("whence", "one")
    assert (liar.code, "[FTC519]" in liar.err) == (6, True)


def test_it_is_a_base_and_a_teacher(run: api.Run, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    made = api.merge(run, "merged").model
    text = recipe_of("classification", steps=1).replace("name: tiny", "name: student")
    lesson = "evaluate_every: 1, distillation: {teacher: ./merged}}"
    Path("student.yaml").write_text(text.replace("evaluate_every: 1}", lesson).replace("./encoder", "./merged"))
    plan = api.plan("student.yaml").plan
    assert plan.lock.model.content_sha256 == made.content_sha256
    child = tmp_path / "child.safetensors"
    save_file({"bias": numpy.ones(3)}, child, metadata={METADATA_KEY: header_text(provenance_of(plan))})
    assert api.provenance(child).parents == {"base": run.record.id, "teacher": run.record.id}
    assert {use.name for use in api.used_by(made.content_sha256)} == {"student"}


def test_what_can_not_be_merged_says_why(run: api.Run, ftc: Ftc) -> None:
    def of(strategy: dict[str, Any]) -> api.Run:
        settings = run.plan.settings
        settings = type(settings).model_validate({**settings.model_dump(), "strategy": strategy})
        return replace(run, plan=run.plan.model_copy(update={"settings": settings}))

    for kind, code in (("prefix_tuning", "FTC661"), ("full", "FTC662")):
        more = {"virtual_tokens": 4, "num_layers": 2} if kind == "prefix_tuning" else {}
        with pytest.raises(Refusal) as refused:
            api.merge(of({"kind": kind, **more}), "merged")
        assert codes(refused) == {code}
        (found,) = refused.value.diagnostics
        assert "recipe.yaml:9" in found.notes[0], "the place in the recipe"
    Path("there").symlink_to("nowhere")
    taken = ftc("merge", run.record.id, "-o", "there")
    assert (taken.code, "[FTC651]: `there` exists already" in taken.text) == (1, True)
    for words in (("--dtype", "int8", "-o", "x"), ("--shard-size", "5", "-o", "x"), ()):
        assert ftc("merge", run.record.id, *words).code == 64
    assert "[FTC520]" in ftc("merge", "recipe.yaml", "-o", "x").err
    record = json.loads((run.folder / "record.json").read_text())
    (run.folder / "record.json").write_text(json.dumps({**record, "status": "interrupted"}))
    early = ftc("merge", run.record.id, "-o", "x")
    assert (early.code, "[FTC660]" in early.err, "it is interrupted" in early.text) == (1, True, True)


def test_what_can_not_be_exported_says_why(run: api.Run, ftc: Ftc, tmp_path: Path) -> None:
    export = "run", "export", run.record.id, "--format"
    classifier = ftc(*export, "gguf", "-o", "x")
    assert (classifier.code, "[FTC666]" in classifier.err, "decoders that write text" in classifier.text) == (
        1,
        True,
        True,
    )
    assert not Path("x").exists()
    Path("there").mkdir()
    assert "[FTC651]" in ftc(*export, "gguf", "-o", "there").err
    for words in (("gguf",), ("gguf", "-o", "-"), ("slsa", "--type", "q8_0"), ("gguf", "-o", "x", "--type", "int3")):
        assert ftc(*export, *words).code == 64
    shutil.copytree(run.root / "encoder", tmp_path / "base")
    file = tmp_path / "base" / "tokenizer_config.json"
    template = "{% for m in messages %}{{ m.content if loop.last else m.content[:4] }}{% endfor %}"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    with pytest.raises(Refusal) as refused:
        write_modelfile(run, tmp_path / "base", tmp_path, "x.gguf", adds_first=False)
    assert codes(refused) == {"FTC671"}
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}<assistant>{% endif %}"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    turns, text = [{"role": "user", "content": "hello"}], "<user>hello<assistant>"
    with pytest.raises(Refusal) as refused:
        write_modelfile(run, tmp_path / "base", tmp_path, "x", adds_first=False, prompts=[(turns, f"<s>{text}")])
    assert codes(refused) == {"FTC671"}
    assert not (tmp_path / "Modelfile").exists(), "the run's own rows were asked with another text"
    kept = write_modelfile(run, tmp_path / "base", tmp_path, "x", adds_first=False, prompts=[(turns, text)])
    assert (kept.rows, kept.conversations) == (1, 8)


def test_what_is_not_here_or_not_as_it_was(run: api.Run, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> str:
        answer = ftc("merge", run.record.id, "-o", "merged/model")
        assert answer.code, answer.out
        assert not Path("merged").exists() or not list(Path("merged").iterdir()), "nothing is left behind"
        return answer.text

    with monkeypatch.context() as narrow:
        narrow.setattr("ftc.compiler.resolve.machine.local.free_memory_bytes", lambda: 2**20)
        narrow.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**10))
        both = refused()
        assert "of memory, but only 1.00 MiB are free" in both
        assert "[FTC663]: the merged model needs" in both
    weights = run.root / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert "[FTC620]: model file `model.safetensors` differs from the plan" in refused()
    adapter = run.folder / "adapter" / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-4] + b"\0\0\0\1")
    assert "[FTC521]" in refused()
    assert not [entry for entry in read_ledger(run.root) if isinstance(entry, Merged)]


def test_only_a_model_that_says_the_same_is_kept(run: api.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.runtime.artifacts import merge

    monkeypatch.setattr(merge, "allowed_share", lambda *_: 1e-9)
    with pytest.raises(Refusal) as refused:
        merging.merge(run, "merged/model", dtype="bfloat16")
    assert codes(refused) == {"FTC664"}
    assert refused.value.exit_code == 7
    assert not any(Path("merged").iterdir())
    (run.root / "encoder").rename(run.root / "elsewhere")
    with pytest.raises(Refusal) as refused:
        api.merge(run, "elsewhere.merged")
    assert codes(refused) == {"FTC660"}
