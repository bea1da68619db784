"""Making the next step's first batch early changes nothing, and a card is waited for once a step."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from ftc.runtime.tasks.scorer import Batch  # noqa: E402
from ftc.runtime.training import hand_over, loop  # noqa: E402
from ftc.runtime.training.sources import StreamRows  # noqa: E402
from tests.runtime.jobs import Job, make_job  # noqa: E402


def steps(job: Job) -> list[tuple[Any, ...]]:
    """All that a step tells but for its seconds."""
    return [(one.loss, one.grad_norm, one.batch_sha256, one.tokens, one.supervised) for one in job.of_kind("step")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "classes", "changes"),
    [("llama", 0, {}), ("llama", 0, {"train__packing": True, "train__micro_batch_tokens": 64}), ("bert", 3, {})],
)
def test_a_run_that_looks_ahead_is_the_same_to_the_bit(
    kind: str, classes: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = make_job(tmp_path, kind, classes=classes, **changes)
    expected = plain.run("plain")
    made: list[int] = []
    monkeypatch.setattr(loop, "looks_ahead", lambda _device: True)
    monkeypatch.setattr(Batch, "pinned", lambda batch: made.append(len(batch.ids)) or batch)
    job = make_job(tmp_path, kind, classes=classes, **changes)
    assert job.run("ahead").final_weights_sha256 == expected.final_weights_sha256
    assert steps(job) == steps(plain)
    assert len(made) == len(steps(job)) - 1, "nothing is made behind the last step"


def test_what_the_weights_decide_is_not_made_early(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loop, "looks_ahead", lambda _device: True)
    known = property(lambda _rows: True, lambda _rows, _value: None)
    monkeypatch.setattr(StreamRows, "follows_weights", known)
    job = make_job(tmp_path)
    job.run()  # pinned memory would fail on a CPU
    assert len(steps(job)) == job.plan.settings.train.num_steps


def test_a_card_is_waited_for_when_numbers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def host(_shape: Any, *, dtype: Any, pin_memory: bool) -> Any:
        assert pin_memory
        copied = lambda _number, *, non_blocking: told.append(f"copy {dtype} {non_blocking}")  # noqa: E731
        return SimpleNamespace(copy_=copied, item=lambda: told.append("item") or 0.5)

    event = SimpleNamespace(record=lambda: told.append("record"), synchronize=lambda: told.append("wait"))
    monkeypatch.setattr(torch, "empty", host)
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    number: Any = SimpleNamespace(device=torch.device("cuda"), shape=(), dtype="float32")
    read = hand_over.reading(number, number)
    assert told == ["copy float32 True", "copy float32 True", "record"]
    assert list(read()) == [0.5, 0.5]
    assert told[3:] == ["wait", "item", "item"]


READING = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "unique", "equal", "allclose", "bincount")
"""Operators whose result or size depends on values, so that a card is waited for; `repeat_interleave` knows its own."""
BY_TRANSFORMERS = {"find_packed_sequence_indices", "warn_if_padding_and_no_attention_mask"}
"""Whose reads stay, each once a forward pass."""


class Reads(TorchDispatchMode):
    """Notes who reads values of tensors: the function of transformers that stays, or all functions on the way."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        by_flags = name.startswith("index") and any(
            one is not None and one.dtype == torch.bool for one in (args[1] if isinstance(args[1], list) else ())
        )
        if name in READING or name.startswith(("unique", "nonzero")) or by_flags:
            self.note(name)
        return func(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        """Adds a read with its place."""
        on_the_way, frame = [], sys._getframe(1)
        while frame.f_back is not None:
            on_the_way.append(frame.f_code.co_name)
            frame = frame.f_back
        known = BY_TRANSFORMERS.intersection(on_the_way)
        self.found.append(known.pop() if known else f"{name} in {' < '.join(on_the_way[:30])}")


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("strategy", ["lora", "full"])
@pytest.mark.parametrize(("kind", "chunk"), [("llama", None), ("llama", 3), ("gpt2", None)])
def test_only_code_of_transformers_waits_within_a_step(
    kind: str, chunk: int | None, strategy: str, packed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[tuple[list[str], int]] = []
    gather, lists, calls = loop._accumulate_gradients, torch.Tensor.tolist, loop._loss
    forwards: list[None] = []

    def watched(*arguments: Any) -> Any:
        forwards.clear()
        with Reads() as reads, pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "tolist", lambda one: reads.note("tolist") or lists(one))
            found = gather(*arguments)
        taken.append((reads.found, len(forwards)))
        return found

    monkeypatch.setattr(loop, "_accumulate_gradients", watched)
    monkeypatch.setattr(loop, "_loss", lambda *arguments: forwards.append(None) or calls(*arguments))
    changes = {"train__packing": True, "train__micro_batch_tokens": 64} if packed else {}
    make_job(tmp_path, kind, strategy, train__loss_chunk_size=chunk, **changes).run()
    for found, count in taken[1:]:  # once a run, the first step proves that a loss in chunks is the model's own
        assert set(found) <= BY_TRANSFORMERS
        assert all(found.count(name) <= count for name in BY_TRANSFORMERS)
    assert any(count > 0 for _, count in taken[1:])
