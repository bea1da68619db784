"""How an answer is split into steps, and how their scores become one."""

from __future__ import annotations

import pytest

from ftc.spec.documents.reward_models import StepReading
from ftc.spec.step_scores import STEP_AGGREGATES, aggregate_card, steps_of


@pytest.mark.parametrize(("kind", "score"), [("min", 0.25), ("mean", 0.5), ("product", 0.046875), ("last", 0.5)])
def test_scores_of_steps_become_one(kind: str, score: float) -> None:
    assert aggregate_card(kind).of([0.5, 0.25, 0.75, 0.5]) == pytest.approx(score)


def test_every_way_stays_between_0_and_1() -> None:
    for card in STEP_AGGREGATES:
        reading = StepReading(separator="\n", aggregate=card.kind, right=1)
        assert reading.score([1.0]) == 1
        assert 0 <= reading.score([0.125, 1.0]) < 1 or card.kind == "last"
        assert reading.score([]) == 0, "an answer without a step earns the least"


def test_blank_steps_are_none() -> None:
    assert steps_of("first\n\n second\n \nthird\n", "\n") == ["first", " second", "third"]
    assert steps_of("  ", "\n") == []
    assert steps_of("a\nb\n\nc", "\n\n") == ["a\nb", "c"]
