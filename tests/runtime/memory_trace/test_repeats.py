"""Layers of a tower that stand for each other: the log is that of a trace in which every layer runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ftc.runtime.memory_trace import step
from ftc.runtime.memory_trace.log import Log, peaks
from ftc.runtime.memory_trace.repeats import repeat_alike
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.memory_trace.whole import whole_log
from ftc.spec.documents.memory_trace import TraceJob
from tests.runtime.memory_trace.test_images import job_for
from tests.runtime.memory_trace.test_trained_images import job_of
from tests.support.vision_models import MODELS

pytest.importorskip("PIL")
DEPTH = 8
NUMBERED: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {"fullatt_block_indexes": [3, 7]},
    "qwen3_vl": {"deepstack_visual_indexes": [1, 4]},
    "llava": {},
}
"""Towers of which a configuration names layers, by what it says of them."""


def in_tower(log: Log) -> list[tuple[str, int | None, list[int]]]:
    """What the tower's layers allocate and free in each pass: sizes in their order."""

    def size(event: int) -> int:
        return log.storages[event].size if event >= 0 else -log.storages[~event].size

    return [(one.name, one.group, [*map(size, one.events)]) for one in log.sections if "image" in one.name]


def apart_from_collecting(log: Log) -> dict[str, int]:
    """Peaks by phase, but for those in which Python may come to collect what holds itself, such as a step's graph."""
    return {name: one.size for name, one in peaks(log).items() if name not in ("clip", "optimiser step")}


def deep(job: TraceJob, kind: str) -> TraceJob:
    """The job with a tower of eight layers, some of which are named by number."""
    key = "num_hidden_layers" if kind == "llava" else "depth"
    tower = {**job.config["vision_config"], key: DEPTH, **NUMBERED[kind]}
    named = {"vision_feature_layer": [2, 5]} if kind == "llava" else {}
    return job.model_copy(update={"config": {**job.config, **named, "vision_config": tower}, "layer_weights": ()})


def ran(monkeypatch: pytest.MonkeyPatch, use: Callable[..., None]) -> Counter[int]:
    """How often each layer's forward pass ran, once a trace repeats layers in this way."""
    found: Counter[int] = Counter()

    def watch(layers: Any, tracker: StorageTracker) -> None:
        for number, layer in enumerate(layers):
            forward = layer.forward
            layer.forward = lambda *args, _n=number, _f=forward, **named: (found.update([_n]), _f(*args, **named))[1]
        use(layers, tracker)

    monkeypatch.setattr(step, "repeat_alike", watch)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", list(NUMBERED))
def test_the_log_is_that_of_all_layers(
    kind: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MODELS[kind](tmp_path)
    changes: dict[str, Any] = {"train__precision": precision, "train__activation_checkpointing": True}
    job = deep(job_for(tmp_path, [[(40, 32), (28, 28)], [(20, 60)]], **changes), kind)
    every = ran(monkeypatch, lambda *_: None)
    whole, _ = whole_log(job)
    few = ran(monkeypatch, repeat_alike)
    repeated, _ = whole_log(job)
    assert in_tower(repeated) == in_tower(whole)
    assert apart_from_collecting(repeated) == apart_from_collecting(whole)
    assert min(every.values()) == max(every.values()) > 2
    assert few.total() < every.total() / 3


@pytest.mark.slow
def test_layers_with_a_backward_pass_run_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS["qwen2_5_vl"](tmp_path)
    job = deep(job_of(tmp_path, ()), "qwen2_5_vl")
    every = ran(monkeypatch, lambda *_: None)
    whole, _ = whole_log(job)
    few = ran(monkeypatch, repeat_alike)
    repeated, _ = whole_log(job)
    assert in_tower(repeated) == in_tower(whole)
    assert apart_from_collecting(repeated) == apart_from_collecting(whole)
    assert 0 < few[DEPTH - 2] < every[DEPTH - 2], "in training alone"


class _Layer(nn.Module):
    """A layer that makes something beside its result, and may keep it or copy it."""

    def __init__(self, width: int, kept: list[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, device="meta")
        self.kept = kept
        self.copies = 0

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.linear(states)
        if self.kept is not None:
            self.kept.append(made)
        beside = [made.clone() for _ in range(self.copies)]
        return made + states + len(beside)


class _Doubled(_Layer):
    """One of the same weights that computes more."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return super().forward(super().forward(states))


class _Beside(nn.Module):
    """A module without weights that puts a table in front of rows, as long as its buffer."""

    table: torch.Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.empty(length, 16, device="meta"))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.table, states])[len(self.table) :].clone()


def through(layers: list[nn.Module], repeats: bool) -> tuple[Log, int]:
    """What a tracker logs of these layers without gradients, and how many of them ran."""
    tracker, runs = StorageTracker("meta"), list[nn.Module]()
    for layer in layers:
        for one in (*layer.parameters(), *layer.buffers()):
            tracker.register(one, "weights")  # as a trace does; else a first use of weights looks like their birth
        forward = layer.forward
        layer.forward = lambda states, _layer=layer, _forward=forward: (runs.append(_layer), _forward(states))[1]
    if repeats:
        repeat_alike(layers, tracker)
    with torch.no_grad(), tracker:
        states = torch.empty(3, 16, device="meta")
        for number, layer in enumerate(layers):
            tracker.section("layers", number)
            states = layer(states)
        del states
    return tracker.log, len(runs)


def runs_of(layers: Callable[[], list[nn.Module]]) -> int:
    """How many of these layers run where they may stand for each other; what is logged is as if all did."""
    every, few = layers(), layers()  # both stay until the logs are compared: what ends is logged
    whole, all_runs = through(every, repeats=False)
    repeated, runs = through(few, repeats=True)
    assert all_runs == len(every)
    assert repeated == whole
    return runs


@pytest.mark.parametrize(("keeps", "runs"), [(False, 2), (True, 6)])
def test_a_layer_that_leaves_more_than_its_result_stands_for_none(keeps: bool, runs: int) -> None:
    def layers() -> list[nn.Module]:
        kept = list[torch.Tensor]() if keeps else None
        return [_Layer(16, kept) for _ in range(6)]

    assert runs_of(layers) == runs


def _of_wider_weights() -> nn.Module:
    wide = _Layer(16)
    inner = nn.Linear(16, 64, device="meta"), nn.Linear(64, 16, device="meta")
    wide.linear = nn.Sequential(*inner)  # type: ignore[assignment]
    return wide


def _with_a_flag() -> nn.Module:
    layer = _Layer(16)
    layer.copies = 3
    return layer


@pytest.mark.parametrize(
    "other", [_of_wider_weights, _with_a_flag, lambda: _Doubled(16)], ids=["wider weights", "a flag", "a class"]
)
def test_a_layer_of_another_make_runs_by_itself(other: Callable[[], nn.Module]) -> None:
    """The sixth of eight layers allocates more, and what those before it did says nothing of it."""

    def layers() -> list[nn.Module]:
        made: list[nn.Module] = [_Layer(16) for _ in range(7)]
        return [*made[:5], other(), *made[5:]]

    assert runs_of(layers) == 3


@pytest.mark.parametrize("change", ["a module's flag", "a longer buffer"])
def test_what_stands_inside_of_a_layer_counts_too(change: str) -> None:
    def layer(is_other: bool) -> nn.Module:
        inner = _with_a_flag() if is_other and change == "a module's flag" else _Layer(16)
        return nn.Sequential(inner, _Beside(40 if is_other and change == "a longer buffer" else 4))

    assert runs_of(lambda: [layer(number == 5) for number in range(8)]) == 3
