"""A step without memory allocates what a real one does: byte for byte, phase by phase."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.tracker import StorageTracker, card_buffers
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.training.distillation import build_teacher
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.own_tokenizer import AddedToken, OwnTokenizer
from tests.support.lessons import lesson
from tests.support.shelves import Folder
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import PROCESSOR, trace_job

KINDS = ("llama", "qwen2", "gemma2", "gpt2", "bert", "t5", "bart")
OF_THE_HOST = {"load", "clip"}
"""Phases in which a real step on the CPU also makes its batches where the tracker sees them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models with real weights, two layers each."""
    root = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        write_tiny_model(root / kind, kind)
    return {kind: root / kind for kind in KINDS}


CASES = [
    (kind, strategy, checkpointing, precision)
    for kind in KINDS
    for strategy in ("full", "lora", "qlora")
    for checkpointing in (False, "selective", True)
    for precision in ("float32", "bfloat16", "float16", "pure_bfloat16")
    if strategy == "full" or precision != "pure_bfloat16"
]
USUAL = [
    *[case for case in CASES if case[0] == "llama" and case[2] != "selective"][::3],
    ("llama", "qlora", True, "float32"),
    ("qwen2", "full", True, "float32"),
    ("qwen2", "lora", False, "bfloat16"),
    ("bert", "full", False, "bfloat16"),
    ("llama", "full", True, "float16"),
    ("gpt2", "lora", False, "float16"),
    ("bert", "lora", True, "float32"),
    ("t5", "lora", False, "float32"),
    ("t5", "qlora", True, "bfloat16"),
    ("gemma2", "lora", True, "bfloat16"),
    ("gpt2", "qlora", False, "bfloat16"),
    ("bart", "full", False, "float32"),
    ("llama", "full", False, "pure_bfloat16"),
    ("llama", "full", True, "pure_bfloat16"),
    ("bert", "full", False, "pure_bfloat16"),
    ("llama", "full", "selective", "bfloat16"),
    ("llama", "lora", "selective", "bfloat16"),
    ("t5", "qlora", "selective", "bfloat16"),
    ("gpt2", "lora", "selective", "float32"),
]
"""Cases of the usual suite; `nox -s traces` runs all."""


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("kind", "strategy", "checkpointing", "precision"), CASES if os.environ.get("FTC_TRACES") else USUAL
)
def test_a_step_without_memory_is_a_real_step(
    kind: str, strategy: str, checkpointing: Recomputing, precision: str, models: dict[str, Path], tmp_path: Path
) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    if precision == "pure_bfloat16":
        pytest.importorskip("optimi")
    for attention in ("eager",) if kind == "gemma2" else ("eager", "sdpa"):
        job = trace_job(
            json.loads((models[kind] / "config.json").read_text()),
            strategy,
            device=PROCESSOR,
            shape=BatchShape(length=20, supervised=7, padded=False),
            num_modules={"gpt2": 2, "t5": 12, "bart": 12}.get(kind, 4),
            model__attention=attention,
            train__activation_checkpointing=checkpointing,
            train__precision=precision,
        )
        depths = (2, 2) if kind in ("t5", "bart") else (2,)
        without = peaks(log_of(job, depths, whole_groups(depths)))
        model = build_model(job.settings, FolderBase(models[kind]), torch.device("cpu"))
        real = peaks(run_steps(job, model, whole_groups(depths), torch.device("cpu"), Folder(tmp_path / attention)))
        assert real.keys() == without.keys()
        apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
        # optimi counts the steps of matrices and of the rest in host RAM, which a real step on a CPU has as well.
        counters = {-2 * 512} if precision == "pure_bfloat16" else set[int]()
        assert set(apart.values()) <= {0, *counters}, (attention, apart)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("strategy", ["lora", "qlora", "full"])
@pytest.mark.parametrize("kind", ["llama", "mistral", "bert"])
def test_rows_of_added_tokens_take_what_a_real_step_takes(
    kind: str, strategy: str, checkpointing: bool, tmp_path: Path
) -> None:
    """Beside tied weights, an output layer of its own, and in an encoder, which has none."""
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    write_tiny_model(tmp_path / kind, kind)
    config = json.loads((tmp_path / kind / "config.json").read_text())
    rows = config["vocab_size"]
    tokens = tuple(AddedToken(token=f"<{one}>", id=one, special=False) for one in (rows, rows + 1))
    own = OwnTokenizer(tokens=tokens, rows=rows + 2, tables=(), eos_token=None, pad_token=None, chat_template=None)
    job = trace_job(
        {**config, "vocab_size": rows + 2},
        strategy,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules=4,
        token_ids=(rows, rows + 1),
        model__tokenizer=own,
        train__activation_checkpointing=checkpointing,
        train__precision="bfloat16",
        train__loss_chunk_size=None if kind == "bert" else 5,
    )
    without = peaks(log_of(job, (2,), whole_groups((2,))))
    model: Any = build_model(job.settings, FolderBase(tmp_path / kind), torch.device("cpu"))
    real = peaks(run_steps(job, model, whole_groups((2,)), torch.device("cpu"), Folder(tmp_path)))
    assert {without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == {0}
    table = model.get_input_embeddings()
    assert table.weight.shape[0] == rows + 2
    own_rows = [name for name, one in model.named_parameters() if one.requires_grad and "trainable_tokens_" in name]
    assert len(own_rows) == (0 if strategy == "full" else 2 if kind == "mistral" else 1)


@pytest.mark.parametrize("packs", [True, False])
def test_rows_that_share_a_sequence_are_told_apart_by_a_mask(
    packs: bool, models: dict[str, Path], tmp_path: Path
) -> None:
    """Padding behind rows of their own needs none, since a decoder never looks back from it."""
    job = trace_job(
        json.loads((models["llama"] / "config.json").read_text()),
        "lora",
        device=PROCESSOR,
        shape=BatchShape(length=21, supervised=7, padded=True),
        num_modules=4,
        train__packing=packs,
        train__micro_batch=1,
        train__batch_size=2,
    )
    without = peaks(log_of(job, (2,), whole_groups((2,))))
    model = build_model(job.settings, FolderBase(models["llama"]), torch.device("cpu"))
    real = peaks(run_steps(job, model, whole_groups((2,)), torch.device("cpu"), Folder(tmp_path)))
    assert {without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("by", ["on_policy", "seq_kd"])
def test_answers_are_written_beside_optimizer_and_teacher(models: dict[str, Path], by: str) -> None:
    config, theirs = (json.loads((models[one] / "config.json").read_text()) for one in ("llama", "gpt2"))
    own = {"max_new_tokens": 8, "temperature": 1.0, "top_k": 0, **({"lmbda": 0.5} if by == "on_policy" else {})}
    shape = BatchShape(length=20, supervised=7, padded=False)
    job = trace_job(
        config,
        "full",
        device=PROCESSOR,
        shape=shape,
        eval__batch_size=4,
        train__distillation={**lesson(models["gpt2"]), "weight": float(by == "on_policy"), by: own},
    ).model_copy(update={"teacher": theirs, "evaluation": shape})
    found = peaks(log_of(job, (2,), whole_groups((2,))))
    written = {name: peak for name, peak in found.items() if name.startswith("sampling")}
    assert written
    assert ("teacher" in found) == (by == "on_policy"), "a teacher whose probabilities don't count isn't asked for them"
    for peak in written.values():
        assert peak.components["teacher"] > 0
        assert peak.components["optimiser state"] > 0


@pytest.mark.sample(1)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "strategy", "teacher", "loss", "quantization"),
    [
        ("llama", "prompt_tuning", "gpt2", "forward_kl", None),
        ("qwen2", "full", "llama", "jsd", "nf4"),
        ("bert", "lora", "bert", "reverse_kl", "int8"),
        ("t5", "lora", "t5", "forward_kl", None),
    ],
)
def test_a_teacher_is_asked_without_memory_as_it_really_is(
    kind: str,
    strategy: str,
    teacher: str,
    loss: str,
    quantization: str | None,
    precision: str,
    models: dict[str, Path],
    tmp_path: Path,
) -> None:
    if quantization is not None:
        pytest.importorskip("bitsandbytes")
    configs = {one: json.loads((models[one] / "config.json").read_text()) for one in (kind, teacher)}
    families = {"bert": "encoder", "t5": "encoder_decoder"}
    outputs = (2, 0, 1) if kind == "bert" else ()
    asked = lesson(models[teacher], families.get(teacher, "decoder"), teacher={"outputs": outputs})
    job = trace_job(
        configs[kind],
        strategy,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules={"t5": 12}.get(kind, 4),
        train__precision=precision,
        train__distillation={**asked, "loss": loss, "precision": precision, "quantization": quantization},
    ).model_copy(update={"teacher": configs[teacher]})
    depths = (2, 2) if kind == "t5" else (2,)
    without = peaks(log_of(job, depths, whole_groups(depths)))
    cpu = torch.device("cpu")
    taught = build_teacher(job.settings, FolderBase(models[teacher]), cpu)
    model = build_model(job.settings, FolderBase(models[kind]), cpu)
    real = peaks(run_steps(job, model, whole_groups(depths), cpu, Folder(tmp_path / "kept"), taught))
    assert real["teacher"].components["teacher"] > 0
    apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    assert set(apart.values()) == {0}, apart


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 4])
def test_a_teacher_with_rows_of_its_own_is_traced_as_it_runs(
    chunk: int | None, models: dict[str, Path], tmp_path: Path
) -> None:
    configs = {one: json.loads((models[one] / "config.json").read_text()) for one in ("llama", "gpt2")}
    job = trace_job(
        configs["llama"],
        "lora",
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules=4,
        train__loss_chunk_size=chunk,
        train__distillation={**lesson(models["gpt2"]), "loss": "uld", "temperature": 1.0},
    ).model_copy(update={"teacher": configs["gpt2"]})
    apart = job.model_copy(update={"taught": BatchShape(length=45, supervised=30, padded=True)})
    assert apart.key() != job.key()
    without = peaks(log_of(apart, (2,), whole_groups((2,))))
    cpu = torch.device("cpu")
    taught = build_teacher(apart.settings, FolderBase(models["gpt2"]), cpu)
    model = build_model(apart.settings, FolderBase(models["llama"]), cpu)
    real = peaks(run_steps(apart, model, whole_groups((2,)), cpu, Folder(tmp_path / "kept"), taught))
    differing = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    assert set(differing.values()) == {0}, differing
    assert without["teacher"].size > peaks(log_of(job, (2,), whole_groups((2,))))["teacher"].size


def test_a_sort_on_a_card_takes_what_it_goes_to_and_fro_between() -> None:
    scores = torch.empty(4, 1000, device="meta")
    tracker = StorageTracker("meta", buffers=card_buffers((9, 0)))
    with tracker:
        scores.sort(dim=-1, descending=True, stable=True)
    (most,) = (peak.size for peak in peaks(tracker.close()).values())
    results, between = 4000 * (4 + 8), 4000 * (8 + 4 + 8)
    assert results + between <= most <= results + between + 2048


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "strategy", "precision", "teacher", "at_once"),
    [
        ("llama", "full", "bfloat16", None, 4),
        ("llama", "full", "bfloat16", None, 2),
        ("qwen2", "lora", "bfloat16", "gpt2", 2),
        *(
            [
                ("gemma2", "lora", "float32", None, 2),
                ("gemma2", "full", "bfloat16", None, 4),
                ("t5", "lora", "bfloat16", None, 2),
                ("bart", "full", "float32", None, 4),
            ]
            if os.environ.get("FTC_TRACES")
            else []
        ),
    ],
)
def test_a_loss_in_chunks_is_traced_as_it_runs(
    kind: str,
    strategy: str,
    precision: str,
    teacher: str | None,
    at_once: int,
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ftc.runtime.tasks.chunked_head.compared_at_once", lambda count, _: min(count, at_once))
    configs = {one: json.loads((models[one] / "config.json").read_text()) for one in (kind, teacher) if one}
    asked = None if teacher is None else {**lesson(models[teacher], "decoder"), "precision": precision}
    job = trace_job(
        configs[kind],
        strategy,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules={"t5": 12, "bart": 12}.get(kind, 4),
        model__attention="eager" if kind == "gemma2" else "sdpa",
        train__precision=precision,
        train__loss_chunk_size=4,
        train__activation_checkpointing=teacher is None,  # whose casts of weights are gone when the loss begins
        train__distillation=asked,
    ).model_copy(update={"teacher": configs.get(teacher or "")})
    depths = (2, 2) if kind in ("t5", "bart") else (2,)
    without = peaks(log_of(job, depths, whole_groups(depths)))
    cpu = torch.device("cpu")
    taught = None if teacher is None else build_teacher(job.settings, FolderBase(models[teacher]), cpu)
    model = build_model(job.settings, FolderBase(models[kind]), cpu)
    real = peaks(run_steps(job, model, whole_groups(depths), cpu, Folder(tmp_path / "kept"), taught))
    apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    assert set(apart.values()) == {0}, apart
    train = job.settings.train.model_copy(update={"loss_chunk_size": None})
    whole = job.model_copy(update={"settings": job.settings.model_copy(update={"train": train})})
    assert whole.key() != job.key(), "answers for the one are none for the other"


OTHERS = ["dora", "partial", "chosen", "bitfit", "ln_tuning", "ia3", "bottleneck", "prompt_tuning", "p_tuning"]
OTHERS += ["prefix_tuning", "projected"]
MODULES = {"ln_tuning": 5, "ia3": 6, "bottleneck": 4}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", OTHERS)
def test_every_strategy_is_traced_as_it_runs(strategy: str, models: dict[str, Path], tmp_path: Path) -> None:
    kind = "bert" if strategy == "bitfit" else "llama"  # which has no biases
    job = trace_job(
        json.loads((models[kind] / "config.json").read_text()),
        strategy,
        device=PROCESSOR,
        shape=BatchShape(length=20, supervised=7, padded=False),
        num_modules=MODULES.get(strategy, 4),
        train__precision="bfloat16",
    )
    groups = whole_groups((2,))
    without = peaks(log_of(job, (2,), groups))
    model = build_model(job.settings, FolderBase(models[kind]), torch.device("cpu"))
    real = peaks(run_steps(job, model, groups, torch.device("cpu"), Folder(tmp_path / "run")))
    assert {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST} == dict.fromkeys(
        real.keys() - OF_THE_HOST, 0
    )


@pytest.mark.slow
def test_the_workspace_of_an_lstm_is_all_that_a_trace_does_not_see(models: dict[str, Path]) -> None:
    job = trace_job(json.loads((models["llama"] / "config.json").read_text()), "lstm", device=PROCESSOR)
    without = peaks(log_of(job, (2,), whole_groups((2,))))
    model = build_model(job.settings, FolderBase(models["llama"]), torch.device("cpu"))
    real = peaks(run_steps(job, model, whole_groups((2,)), torch.device("cpu")))
    workspace = {real[name].size - without[name].size for name in real.keys() - OF_THE_HOST}
    assert min(workspace) == 0, "phases without it are the same to the byte"
    assert max(workspace) < 2**18
