"""Answers are remembered, and whatever goes wrong is a reason and no exception."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.memory.trace_client import Tracer
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob, TraceResult
from tests.support.trace_jobs import LLAMA, trace_job

VERSIONS = {"ftc": "1", "torch": "2", "transformers": "5", "peft": "0", "bitsandbytes": "0"}
RESULT = TraceResult(
    phases=(PhasePeak(phase="load", peak_bytes=1, components={"weights": 1}),),
    allocated_bytes=1,
    reserved_bytes=2,
    traced_layers=5,
    versions=VERSIONS,
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The jobs that a process was asked for; it answers at once."""
    asked: list[object] = []

    def answer(_tracer: object, job: object) -> TraceAnswer:
        asked.append(job)
        return TraceAnswer(RESULT)

    monkeypatch.setattr(Tracer, "_ask", answer)
    return asked


def trace_memory(job: TraceJob, cache: Path, **options: Any) -> TraceAnswer:
    with Tracer(cache, **options) as tracer:
        return tracer.answer(job)


def test_a_job_is_traced_once(tmp_path: Path, calls: list[object]) -> None:
    first = trace_memory(trace_job(), tmp_path, versions=VERSIONS)
    again = trace_memory(trace_job(train__learning_rate=0.5), tmp_path, versions=VERSIONS)
    assert first.result == again.result == RESULT
    assert len(calls) == 1


def test_another_job_or_another_library_is_traced_anew(tmp_path: Path, calls: list[object]) -> None:
    trace_memory(trace_job(), tmp_path, versions=VERSIONS)
    trace_memory(trace_job(rank=32), tmp_path, versions=VERSIONS)
    trace_memory(trace_job({**LLAMA, "hidden_size": 512}), tmp_path, versions=VERSIONS)
    trace_memory(trace_job(), tmp_path, versions={**VERSIONS, "transformers": "6"})
    assert len(calls) == 4


def test_a_damaged_answer_is_traced_anew(tmp_path: Path, calls: list[object]) -> None:
    trace_memory(trace_job(), tmp_path, versions=VERSIONS)
    (file,) = tmp_path.iterdir()
    file.write_text("{", encoding="utf-8")
    assert trace_memory(trace_job(), tmp_path, versions=VERSIONS).result == RESULT
    assert len(calls) == 2


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path: Path, calls: list[object]) -> None:
    (tmp_path / "file").write_text("")
    assert trace_memory(trace_job(), tmp_path / "file" / "cache", versions=VERSIONS).result == RESULT


@pytest.mark.parametrize(
    ("strategy", "installed", "reason"),
    [
        ("full", (), "torch and transformers are not installed"),
        ("lora", ("torch", "transformers"), "peft is not installed"),
        ("qlora", ("torch", "transformers", "peft"), "bitsandbytes is not installed"),
    ],
)
def test_a_missing_library_is_a_reason(
    strategy: str, installed: tuple[str, ...], reason: str, tmp_path: Path, calls: list[object]
) -> None:
    answer = trace_memory(trace_job(strategy=strategy), tmp_path, versions=dict.fromkeys(installed, "1"))
    assert answer == TraceAnswer(None, reason, for_every_job=True)
    assert not calls


@pytest.mark.traces
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Killed >&2; exit 9", "the memory trace ended with status 9: Killed"),
        ("echo nonsense", "the memory trace gave no readable answer"),
        ('echo \'{"problem": "LookupError: no such model"}\'', "LookupError: no such model"),
        ("exec sleep 30", "the memory trace took more than 0.2 s"),
    ],
)
def test_a_child_that_fails_is_a_reason(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    timeout = 0.2 if "sleep" in script else 30
    answer = trace_memory(trace_job(), tmp_path / "cache", versions=VERSIONS, timeout_seconds=timeout)
    assert answer == TraceAnswer(None, reason, for_every_job="took more" in reason)
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
@pytest.mark.traces
def test_one_process_answers_several_jobs_and_goes_on_after_a_problem(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    told: list[int] = []
    unknown = trace_job({**LLAMA, "model_type": "nothing"})
    with Tracer(tmp_path, tell=told.append) as tracer:
        first, problem, other = (tracer.answer(job) for job in (trace_job(), unknown, trace_job(rank=16)))
    assert first.result is not None
    assert other.result is not None
    assert first.result.allocated_bytes < other.result.allocated_bytes
    assert problem.reason == "LookupError: transformers does not know the model type `nothing`"
    assert told == [0, 1, 2]
    with Tracer(tmp_path, tell=told.append) as tracer:
        assert tracer.answers([trace_job()]) == {trace_job().key(): first}
    assert told == [0, 1, 2]


def test_what_an_optimizer_remembers_is_part_of_the_question() -> None:
    usual = trace_job().settings.train.optimizer
    plain, pushed = (usual.model_copy(update={"kind": "sgd", "momentum": momentum}) for momentum in (0.0, 0.9))
    assert trace_job(train__optimizer=plain).key() != trace_job(train__optimizer=pushed).key()
