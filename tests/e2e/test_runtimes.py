"""An exported model in the runtime that people use answers the run's test rows as the recipe gated them.

Each format is loaded by its own library alone, from the folder that was written. Where that library is no part of the
usual environment the test belongs to the session that brings it: `nox -s onnx`, `torchao`, `embeddings`, `serving`.
llama.cpp's are in `test_gguf.py`. vLLM doesn't go into one environment with ftc's newest packages: `FTC_VLLM` names its
program. Ollama is run by nobody here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import PROJECTS
from tests.support.session_packages import package_of
from tests.support.test_rows import as_gated, asked, make_learnable, outcomes_of, score, sources_of
from tests.support.tiny_models import write_anew

pytestmark = pytest.mark.slow

GATED = {
    "classification": ("accuracy", ">= 0.6"),
    "token_classification": ("entity_f1", ">= 0.15"),
    "extraction": ("exact_match", ">= 0.2"),
    "generation": ("rouge_l", ">= 0.25"),
    "embedding": ("mrr_at_10", ">= 0.5"),
}
"""Metric and bound by task, which tiny models keep on validation rows as well."""
Finished = Callable[..., api.Run]


@pytest.fixture
def finished(project: MakeProject) -> Finished:
    """Makes a project of 120 rows whose run learned something, with a gate that it keeps."""

    def make(task: str, strategy: str = "full", **shape: int) -> api.Run:
        metric, bound = GATED[task]
        root = project(task, strategy, steps=60, evaluation=f"metrics: [{metric}], gates: {{{metric}: '{bound}'}}")
        if shape:
            write_anew(root / PROJECTS[task][2], shape)
        run = api.apply(make_learnable(root, task, strategy))
        assert run.record.status == "finished", run.evaluation and run.evaluation.tuned.metrics
        return run

    return make


def exported(run: api.Run, ftc: Ftc, *words: str) -> Path:
    """The folder of a format, exported with both gates."""
    answer = ftc("run", "export", run.record.id, *words, "-o", "dist/x", "--json")
    assert answer.code == 0, answer.err
    return Path("dist/x")


def labels_by_transformers(run: api.Run, folder: Path) -> list[str]:
    """The class of each test row, by transformers alone."""
    from transformers import pipeline

    asked = pipeline("text-classification", model=str(folder), device="cpu")
    return [asked(row["text"])[0]["label"] for row in sources_of(run)]


def texts_by_transformers(run: api.Run, folder: Path) -> list[str]:
    """What the model writes for each test row, by transformers alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    said, most = [], run.plan.settings.eval.max_new_tokens
    for row in sources_of(run):
        turn = [{"role": "user", "content": row["question"]}]
        given = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = model.generate(**given, do_sample=False, max_new_tokens=most)
        said.append(tokenizer.decode(made[0, given["input_ids"].shape[1] :], skip_special_tokens=True))
    return said


def test_transformers_answers_as_gated(finished: Finished, ftc: Ftc) -> None:
    run = finished("generation")
    said = texts_by_transformers(run, exported(run, ftc, "--format", "merged", "--type", "f32"))
    assert said == [one.tuned.text for one in outcomes_of(run)]
    as_gated(run, "rouge_l", score("rouge_l", [row["answer"] for row in sources_of(run)], said))


def test_a_merged_classifier_answers_as_gated(finished: Finished, ftc: Ftc) -> None:
    run = finished("classification", "lora")
    right = [row["label"] for row in sources_of(run)]
    for words, same in ((("--type", "f32"), True), (("--type", "bf16"), False)):
        folder = exported(run, ftc, "--format", "merged", *words) if same else Path("dist/y")
        if not same:
            answer = ftc("run", "export", run.record.id, "--format", "merged", *words, "-o", str(folder))
            assert answer.code == 0, answer.err
        as_gated(run, "accuracy", score("accuracy", right, labels_by_transformers(run, folder)), same=same)


@pytest.mark.parametrize("bits", ["int8", "float8", "int4"])
def test_torchao_answers_as_gated(finished: Finished, ftc: Ftc, bits: str) -> None:
    package_of("torchao", "torchao")
    run = finished("generation")
    said = texts_by_transformers(run, exported(run, ftc, "--format", "merged", "--type", bits))
    value = score("rouge_l", [row["answer"] for row in sources_of(run)], said)
    as_gated(run, "rouge_l", value, same=False)


@pytest.mark.parametrize(
    ("task", "bits"),
    [
        ("classification", "f32"),
        ("classification", "int8_dynamic"),
        ("token_classification", "f32"),
        ("extraction", "f32"),
    ],
)
def test_onnxruntime_answers_as_gated(finished: Finished, ftc: Ftc, task: str, bits: str) -> None:
    """By the program that stands beside the file, in a process that knows neither ftc nor torch."""
    package_of("onnx", "onnxruntime")
    run, (metric, _) = finished(task), GATED[task]
    folder = exported(run, ftc, "--format", "onnx", "--type", bits)
    rows = sources_of(run)
    if task == "classification":
        right: list[Any] = [row["label"] for row in rows]
        said: list[Any] = [line.split("\t")[1] for line in used(folder, *(row["text"] for row in rows))]
    elif task == "token_classification":
        right, said = [row["tags"] for row in rows], []
        for row in rows:
            (line,) = used(folder, " ".join(row["words"]))
            said.append([one.rpartition("/")[2] for one in line.split()])
    else:
        right = [row["answers"]["text"][0] for row in rows]
        said = [used(folder, row["question"], row["context"])[0].split("\t")[-1] for row in rows]
        said = ["(no answer)" if one == "no answer" else one for one in said]
        assert said == [one.tuned.text for one in outcomes_of(run)]
    as_gated(run, metric, score(metric, right, said), same=bits == "f32")


def used(folder: Path, *texts: str) -> list[str]:
    """What the program beside the file prints of texts."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'ftc'])); "
    lines = f"{blocked}import runpy; runpy.run_path({str(folder / 'use.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", lines, *texts], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_sentence_transformers_ranks_as_gated(finished: Finished, ftc: Ftc) -> None:
    found = pytest.importorskip("sentence_transformers", reason="nox -s embeddings")
    import numpy as np

    run = finished("embedding")
    folder = exported(run, ftc, "--format", "merged", "--type", "f32")
    model = found.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    rows = sources_of(run)
    passages = [*dict.fromkeys(text for row in rows for text in (row["positive"], row["negative"]))]
    alike = model.encode([row["query"] for row in rows]) @ model.encode(passages).T
    ranks = [
        1 + int((scores >= scores[passages.index(row["positive"])]).sum() - 1)
        for scores, row in zip(alike, rows, strict=True)
    ]
    as_gated(run, "mrr_at_10", float(np.mean([1 / rank if rank <= 10 else 0 for rank in ranks])))


def test_transformers_serve_answers_as_gated(finished: Finished, ftc: Ftc, tmp_path: Path) -> None:
    package_of("serving", "uvicorn")
    package_of("serving", "fastapi")
    program = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    server_answers_as_gated(finished("generation"), ftc, program, tmp_path / "serve.log")


def test_vllm_answers_as_gated(finished: Finished, ftc: Ftc, tmp_path: Path) -> None:
    if (program := os.environ.get("FTC_VLLM")) is None:
        pytest.skip("FTC_VLLM doesn't name a vLLM")
    heads = {"hidden_size": 64, "num_attention_heads": 2, "head_dim": 32}  # it has no kernel for narrower ones
    words = [program, "serve", "--dtype", "float32", "--gpu-memory-utilization", "0.2"]
    server_answers_as_gated(finished("generation", **heads), ftc, words, tmp_path / "serve.log", format="vllm")


def server_answers_as_gated(run: api.Run, ftc: Ftc, words: list[str], log: Path, format: str = "merged") -> None:
    """A server that speaks OpenAI's protocol is asked by hand, and then by `ftc run eval --server`."""
    folder = exported(run, ftc, "--format", format, "--type", "f32").resolve()
    port = free_port()
    with log.open("w") as told:
        command, environment = [*words, str(folder), "--port", str(port)], {**os.environ, "HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        serving = subprocess.Popen(command, stdout=told, stderr=told, env=environment)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health", serving)
            url, most = f"http://127.0.0.1:{port}/v1", run.plan.settings.eval.max_new_tokens
            said = [asked(url, str(folder), row["question"], most) for row in sources_of(run)]
            as_gated(run, "rouge_l", score("rouge_l", [row["answer"] for row in sources_of(run)], said))
            answer = ftc("run", "eval", run.record.id, "--server", url, "--model", str(folder), "--test", "--json")
            found = json.loads(answer.out)
            assert found["answered"] == found["rows"] == len(said), answer.text
            assert [one["passed"] for one in found["answers"]["gates"]] == [True]
        finally:
            serving.terminate()
            serving.wait(30)


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until_up(url: str, serving: subprocess.Popen[bytes]) -> None:
    """Waits for a server's first answer; a test's own limit ends a server that never gives one."""
    while serving.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - this machine's own
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server ended")
