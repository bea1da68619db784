"""Answers are remembered, and whatever goes wrong is a reason and no exception."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ftc.compiler.budget import trace_client
from ftc.compiler.budget.trace_client import trace_memory
from ftc.spec.trace import ByteRange, PhasePeak, TraceResult
from tests.support.trace_jobs import LLAMA, trace_job

VERSIONS = {"ftc": "1", "torch": "2", "transformers": "5", "peft": "0", "bitsandbytes": "0"}
RANGE = ByteRange(low=1, expected=2, high=3)
RESULT = TraceResult(
    phases=(PhasePeak(phase="load", peak_bytes=1, components={"weights": 1}),),
    allocated_bytes=1,
    reserved=RANGE,
    process=RANGE,
    traced_layers=5,
    versions=VERSIONS,
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The jobs that a process was asked for; it answers at once."""
    asked: list[object] = []

    def answer(job: object, _timeout: float) -> trace_client.TraceAnswer:
        asked.append(job)
        return trace_client.TraceAnswer(RESULT)

    monkeypatch.setattr(trace_client, "_ask", answer)
    return asked


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
    assert (answer.result, answer.reason) == (None, reason)
    assert not calls


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Killed >&2; exit 9", "the trace ended with status 9: Killed"),
        ("echo nonsense", "the trace gave no answer that can be read"),
        ('echo \'{"problem": "LookupError: no such model"}\'', "LookupError: no such model"),
        ("exec sleep 30", "the trace took more than 0.2 s"),
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
    assert (answer.result, answer.reason) == (None, reason)
    assert not (tmp_path / "cache").exists()


def test_the_real_child_answers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    answer = trace_memory(trace_job(), tmp_path)
    assert answer.reason is None
    assert answer.result is not None
    assert trace_memory(trace_job(), tmp_path) == answer
    unknown = trace_memory(trace_job({**LLAMA, "model_type": "nothing"}), tmp_path)
    assert unknown.reason == "LookupError: transformers knows no model type `nothing`"
