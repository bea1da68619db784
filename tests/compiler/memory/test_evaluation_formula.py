"""What is measured beside the test split counts in memory, time and words of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft, Draft, PastRun
from ftc.compiler.memory.batch_shapes import evaluation_batch
from ftc.spec.base import Money
from ftc.spec.devices import CARDS
from ftc.spec.documents.companion_settings import ClassifierSettings
from ftc.spec.documents.judging import JudgedTokens, JudgeUse
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import CARD, decided, draft_of, model_facts

ADA = CARD.model_copy(update={"capability": (8, 9), "speed": CARDS["rtx-4090"].speed})
JUDGE = {"url": "http://localhost:8000/v1", "model": "judge"}
CLASSIFIER = ClassifierSettings(
    base="toxicity",
    commit=None,
    files={},
    label="toxic",
    label_id=1,
    num_labels=2,
    single=True,
    max_length=512,
    pad_id=0,
)
GRADER = model_facts(family="encoder", hidden=768, layers=12, architecture="BertForSequenceClassification")


def rows(count: int, length: int, scored: int) -> RowLengths:
    tokens = np.full(count, length)
    return RowLengths(tokens, tokens - scored, np.full(count, scored), tokens)


def job(*, lengths: dict[str, RowLengths] | None = None, graded: bool = False, **sections: Any) -> ClosedDraft:
    """Generation on a card, decided."""
    evaluated = {"metrics": ["exact_match"], **sections.pop("eval", {})}
    draft = draft_of(device=ADA, task={"kind": "generation"}, eval=evaluated, **sections)
    draft = replace(draft, lengths=lengths or {})
    if graded:
        draft = replace(draft, classifier=CLASSIFIER, grader=GRADER)
    return decided(draft)


def seconds(draft: Draft, phase: str) -> float:
    assert draft.time is not None
    return sum(one.seconds.expected for one in draft.time.phases if one.phase == phase)


def test_a_classifier_is_a_phase_of_its_own_without_the_model() -> None:
    plain, graded = job(), job(graded=True)
    assert plain.memory is not None
    assert graded.memory is not None
    assert "grade" not in [one.phase for one in plain.memory.phases]
    phase = graded.memory.phases[-1]
    assert phase.phase == "grade" == graded.memory.peak_phase  # the model that is tuned here is far smaller
    assert phase.components["weights"] == 4 * GRADER.num_parameters
    assert graded.memory.allocated_bytes == phase.peak_bytes
    assert seconds(graded, "grade") > 0 == seconds(plain, "grade")


def test_a_classifier_too_large_for_the_budget_is_refused_and_answers_are_fewer_at_once_first() -> None:
    fitting = job(graded=True, budget={"vram": "1100MiB"})
    assert fitting.memory is not None
    assert fitting.memory.verdict == "fits"
    assert fitting.candidate.eval_batch < 32
    (refused,) = (one for one in job(graded=True, budget={"vram": "500MiB"}).diagnostics if one.is_error)
    assert refused.code == "FTC402"
    assert "grading" in refused.notes[0]


@pytest.mark.parametrize("name", ["retention", "swaps"])
def test_rows_beside_the_test_split_count(name: str) -> None:
    usual = {"test": rows(10, 100, 20)}
    plain, more = job(lengths=usual), job(lengths={**usual, name: rows(1000, 480, 479)})
    phase = "evaluate" if name == "retention" else "generate"
    assert seconds(more, phase) > 2 * seconds(plain, phase)
    batches = [evaluation_batch(one) for one in (plain, more)]
    assert [(one.length, one.supervised) for _, one in filter(None, batches)] == [(100, 20), (480, 479)]


COUNTED = JudgedTokens(empty=3_000, expected=3_100)
"""Of ten rows."""
PRICE = {"sent": "1 USD", "received": "10 USD"}


def judged(*, past: tuple[PastRun, ...] = (), baseline: bool = True, **sections: Any) -> ClosedDraft:
    """A job whose answers, of at most 25 tokens, are graded."""
    evaluated = {"metrics": ["exact_match"], "judge": {**JUDGE, "max_tokens": 8}, "baseline": baseline}
    draft = draft_of(device=ADA, task={"kind": "generation"}, eval=evaluated, **sections)
    draft = replace(draft, judged=COUNTED, past_runs=past)
    return decided(draft)


def asked(url: str = JUDGE["url"], model: str = JUDGE["model"], each: float = 2.0) -> PastRun:
    """An earlier run whose judge took so many seconds a request."""
    use = JudgeUse(
        url=url,
        requests=12,
        answered=10,
        at_once=4,
        seconds=99.0,
        answer_seconds=10 * each,
        with_usage=0,
        sent_tokens=0,
        received_tokens=0,
    )
    return PastRun("rtx-4090", 8, "models/x", "lora", "float32", work={}, seconds={}, judge_model=model, judge=use)


def test_requests_and_tokens_of_a_judge_are_those_of_the_rows_times_the_models() -> None:
    found = judged().judge
    assert found is not None
    assert (found.requests, found.at_once) == (20, 4)
    assert (found.sent.low, found.sent.expected, found.sent.high) == (6_000, 6_200, 6_000 + 20 * 25)
    assert found.received_high == 20 * 8
    assert "base model's tokenizer" in found.method
    alone = judged(baseline=False).judge
    assert alone is not None
    assert (alone.requests, alone.sent.low, alone.received_high) == (10, 3_000, 80)


def test_a_judge_that_nobody_asked_before_has_no_time_and_the_plan_says_so() -> None:
    for past in ((), (asked(model="other"),), (asked(url="http://localhost:9/v1"),)):
        found = judged(past=past)
        assert found.judge is not None
        assert found.judge.seconds is None
        (words,) = (one for one in found.not_checked if "judge" in one)
        assert "20 requests to localhost" in words
        assert "not included in the run's time" in words
        assert seconds(found, "judge") == 0


def test_a_judge_takes_as_long_as_before_and_its_time_is_in_the_runs() -> None:
    found, plain = judged(past=(asked(each=2.0), asked(each=4.0))), judged()
    assert found.judge is not None
    assert found.judge.seconds is not None
    assert found.judge.seconds.expected == 20 / 4 * 3.0
    assert found.judge.seconds.low < 20 / 4 * 2.0 < 20 / 4 * 4.0 < found.judge.seconds.high
    assert "2 earlier runs" in found.judge.seconds_method
    assert not [one for one in found.not_checked if "judge" in one]
    assert found.time is not None
    assert plain.time is not None
    assert found.time.expected_seconds == pytest.approx(plain.time.expected_seconds + 15.0)
    assert found.time.energy_low_joules == plain.time.energy_low_joules, "the card waits meanwhile"


def test_a_price_for_tokens_is_a_part_of_the_cost() -> None:
    hourly = {"price_per_hour": "0.40 USD"}
    plain, priced = judged(budget=hourly), judged(budget={**hourly, "price_per_million_tokens": PRICE})
    assert any("cost of the judge" in one for one in plain.not_checked)
    assert not any("cost of the judge" in one for one in priced.not_checked)
    found = priced.judge
    assert found is not None
    assert found.cost_low is not None
    assert found.cost_high is not None
    assert found.cost_low.amount == pytest.approx((6_000 * 1 + 20 * 10) / 1e6)
    assert found.cost_high.amount == pytest.approx((6_500 * 1 + 160 * 10) / 1e6)
    costs = [draft.time.cost_high for draft in (plain, priced) if draft.time]
    assert costs[0] is not None
    assert costs[1] is not None
    assert costs[1].amount == pytest.approx(costs[0].amount + found.cost_high.amount)
    alone = judged(budget={"price_per_million_tokens": PRICE})
    assert alone.judge is not None
    assert alone.judge.cost_high == found.cost_high
    assert alone.time is not None
    assert alone.time.cost_high is None, "what the device costs is not known, so neither is the sum"


def test_a_policys_price_in_another_currency_makes_no_sum() -> None:
    draft = judged(budget={"price_per_million_tokens": PRICE})
    draft = replace(draft, prices={"rtx-4090": Money(amount=1.0, currency="EUR")}, not_checked=())
    again = decided(draft)
    assert any("EUR" in one and "USD" in one for one in again.not_checked)
    assert again.time is not None
    assert again.time.cost_high is None
