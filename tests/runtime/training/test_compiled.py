"""Compiled layers give the same losses but for rounding, are compiled a known number of times, and fail softly."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ftc.runtime.execution.execute import execute  # noqa: E402
from ftc.runtime.training import train  # noqa: E402
from ftc.runtime.training.compiled import compile_layers  # noqa: E402
from ftc.spec.diagnostics import Refusal  # noqa: E402
from ftc.spec.documents.events import Event, StepDone  # noqa: E402
from tests.runtime.jobs import Job, make_job  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Compiled code of one test isn't another's."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All graphs that are compiled, by a compiler that runs them as they are."""
    seen: list[Any] = []

    def backend(graph: Any, _examples: Any) -> Callable[..., Any]:
        seen.append(graph)
        return graph.forward  # type: ignore[no-any-return]

    monkeypatch.setattr(train, "compile_layers", partial(compile_layers, compiler={"backend": backend}))
    return seen


def losses(job: Job) -> list[float]:
    return [event.loss for event in job.of_kind("step")]


def stopped(job: Job, name: str, step: int) -> Job:
    """The job after it was killed behind a step."""

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == step:
            raise MemoryError

    with pytest.raises(MemoryError):
        execute(job.plan, job.inputs, job.folder(name), listen)
    return job


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "recomputes"), [("lora", False), ("full", True)])
def test_each_kind_of_micro_batch_is_compiled_once_before_the_first_step(
    strategy: str, recomputes: bool, graphs: list[Any], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"train__activation_checkpointing": recomputes}
    plain = make_job(tmp_path, strategy=strategy, **changes)
    expected = plain.run("plain")
    assert graphs == []
    job = make_job(tmp_path, strategy=strategy, train__compile=True, **changes)
    before: list[int] = []
    record = execute(
        job.plan, job.inputs, job.folder("one"),
        lambda event: before.append(len(graphs)) if event.kind in ("step", "evaluated") else None,
    )  # fmt: skip
    assert len(set(before)) == 1
    assert 0 < before[0] <= 2  # layers are alike, micro-batches are of several rows, with padding or without
    assert record.final_weights_sha256 == expected.final_weights_sha256
    machine = record.observed.machine
    assert machine is not None
    assert machine.math["compiled_by"]
    assert expected.observed.machine is not None
    assert "compiled_by" not in expected.observed.machine.math


@pytest.mark.slow
def test_a_resumed_run_compiles_the_same_code(graphs: list[Any], tmp_path: Path) -> None:
    job = make_job(tmp_path, train__compile=True)
    whole = job.run("whole")
    first, graphs[:] = [str(graph.graph) for graph in graphs], []
    torch.compiler.reset()
    stopped(job, "killed", 8)
    torch.compiler.reset()
    graphs.clear()
    assert job.run("killed").final_weights_sha256 == whole.final_weights_sha256
    assert [str(graph.graph) for graph in graphs] == first


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_goes_on_where_nothing_can_be_compiled(
    classes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("C++ compile error\n\nOutput:\nc++: fatal error: Killed signal terminated program cc1plus")

    monkeypatch.setattr(train, "compile_layers", partial(compile_layers, compiler={"backend": broken}))
    kind = "bert" if classes else "llama"
    expected = make_job(tmp_path, kind, classes=classes).run("plain")
    job = make_job(tmp_path, kind, classes=classes, train__compile=True)
    assert job.run("asked").final_weights_sha256 == expected.final_weights_sha256
    (noticed,) = job.of_kind("noticed")
    assert noticed.code == "FTC673"
    assert "Killed signal terminated program cc1plus" in noticed.text


def test_a_layer_that_lacks_memory_is_not_taken_for_one_that_cannot_be_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    compiler = {"backend": lambda _graph, _examples: full}
    monkeypatch.setattr(train, "compile_layers", partial(compile_layers, compiler=compiler))
    job = make_job(tmp_path, "llama", classes=0, train__compile=True)
    with pytest.raises(Refusal) as refusal:
        job.run("asked")
    assert [one.code for one in refusal.value.diagnostics] == ["FTC633"]
    assert [event.code for event in job.of_kind("noticed")] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(("kind", "strategy", "classes"), [("llama", "lora", 0)])
def test_compiled_losses_differ_by_rounding_and_runs_are_equal(
    kind: str, strategy: str, classes: int, tmp_path: Path
) -> None:
    plain = make_job(tmp_path, kind, strategy, classes=classes)
    plain.run("plain")
    job = make_job(tmp_path, kind, strategy, classes=classes, train__compile=True)
    whole = job.run("whole")
    assert job.of_kind("noticed") == []
    assert losses(job) == pytest.approx(losses(plain), rel=1e-4)
    torch.compiler.reset()
    stopped(job, "killed", 8)
    torch.compiler.reset()
    assert job.run("killed").final_weights_sha256 == whole.final_weights_sha256
