"""How quickly an exported file reads: what is timed, and what it is divided by."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from ftc.runtime.exports import speed
from ftc.runtime.tasks.scorer import ModelWithScorer
from tests.runtime.jobs import write_stream

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job


class Slow:
    """A scorer that takes so many seconds of its own clock for a row, and ten times as many for the first."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.read = seconds, 0.0, list[int]()

    def batch(self, rows: object, numbers: list[int]) -> list[int]:  # noqa: ARG002 - as scorers are called
        self.now += 1000.0  # none of the model's time
        return numbers

    def logits(self, model: object, batch: list[int]) -> None:  # noqa: ARG002 - as scorers are called
        self.now += self.seconds * (1 if self.read else 10)
        self.read += batch


@pytest.fixture
def job(tmp_path: Any) -> Job:
    def phase(part: str, detail: str) -> AbstractContextManager[None]:
        assert (part, detail) == ("compare", "speed on 2 rows of validation")
        return nullcontext()

    session = SimpleNamespace(
        base=None,
        journal=SimpleNamespace(phase=phase),
        plan=SimpleNamespace(settings=SimpleNamespace(device=SimpleNamespace(threads=3))),
        stop=SimpleNamespace(check=lambda: None),
    )
    reference = SimpleNamespace(rows=torch.tensor([0, 2]))
    rows = write_stream(tmp_path / "rows.arrow", 4, seed=1)
    found: Any = SimpleNamespace(session=session, reference=reference, rows=rows, split="validation")
    return cast("Job", found)


def seconds(job: Job, scorer: Slow) -> float:
    work = ModelWithScorer(torch.nn.Linear(1, 1), cast("Any", scorer))
    return speed.seconds_of_model(job, work, lambda: scorer.now)


@pytest.mark.parametrize(("each", "rounds"), [(2.0, 1), (0.5, 2), (0.0001, speed.MOST_ROUNDS)])
def test_a_warm_model_is_timed_until_two_seconds_are_over(job: Job, each: float, rounds: int) -> None:
    scorer = Slow(each)
    assert seconds(job, scorer) == pytest.approx(2 * each), "of one round, without the first pass"
    assert scorer.read == [0, *[0, 2] * rounds]


def test_the_fastest_time_counts(job: Job) -> None:
    scorer = Slow(0.25)
    logits = scorer.logits

    def disturbed(model: object, batch: list[int]) -> None:
        scorer.now += 1.0 if len(scorer.read) == 1 else 0.0
        logits(model, batch)

    scorer.logits = disturbed  # type: ignore[method-assign]
    assert seconds(job, scorer) == pytest.approx(0.5)
    assert len(scorer.read) == 1 + 2 * 2


def test_a_speed_is_of_the_tokens_of_the_rows(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = sum(len(job.rows.ids(number)) for number in (0, 2))
    found = speed.measured(job, lambda: 0.5)
    assert (found.rows, found.tokens, found.threads) == (2, tokens, 3)
    assert found.tokens_per_second == 2 * tokens
    assert found.tuned_tokens_per_second is None, "nobody loaded the tuned model"
    scorer = Slow(1.0)
    job.session.base = ModelWithScorer(torch.nn.Linear(1, 1), cast("Any", scorer))
    monkeypatch.setattr(time, "perf_counter", lambda: scorer.now)
    found = speed.measured(job, lambda: 0.5)
    assert (found.tokens_per_second, found.tuned_tokens_per_second) == (2 * tokens, tokens / 2)
