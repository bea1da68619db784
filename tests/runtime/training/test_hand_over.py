"""Making the next step's first batch early changes nothing, and a card is waited for once a step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

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
