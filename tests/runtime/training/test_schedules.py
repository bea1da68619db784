"""Each schedule is transformers' own behind the warm-up, which moves one step earlier since its first step counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import get_scheduler

from ftc.spec.documents.settings import ScheduleSettings
from ftc.spec.schedules import SCHEDULES, ScheduleCard, learning_rate_at
from tests.support.documents import plan

STEPS = 40
VALUES = {"min_lr_ratio": 0.1, "decay_steps": 10}
"""Values of arguments that are tried beside a schedule's usual ones."""


def ours(card: ScheduleCard, warmup: int, values: dict[str, Any]) -> list[float]:
    schedule = ScheduleSettings.model_validate({"kind": card.kind, "warmup_steps": warmup, **values})
    changes = {"schedule": schedule, "num_steps": STEPS, "learning_rate": 1.0}
    train = plan().settings.train.model_copy(update=changes)
    return [learning_rate_at(step, train) for step in range(STEPS)]


def theirs(name: str, warmup: int, arguments: dict[str, Any]) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, warmup, STEPS, arguments)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("warmup", [0, 8])
@pytest.mark.parametrize(
    ("card", "name"),
    [pytest.param(card, name, id=name) for card in SCHEDULES if not card.watches_validation for name in card.names],
)
def test_a_schedule_is_transformers_own(card: ScheduleCard, name: str, warmup: int) -> None:
    if name in card.without_warmup:
        warmup = 0
    usual = {key: value(warmup)[0] for key, value in card.usual.items()}
    given = {name: value for name, value in (VALUES | usual).items() if name in card.arguments.values()}
    arguments: dict[str, Any] = {one: given[name] for one, name in card.arguments.items() if name in given}
    if name == "cosine":  # which has no floor there
        given, arguments = {}, {}
    if "num_decay_steps" in arguments:
        arguments["decay_type"] = "linear"
    mine, rates = ours(card, warmup, given), theirs(name, warmup, arguments)
    assert mine[warmup:] == pytest.approx(rates[warmup:], abs=1e-6)
    if "min_lr_ratio" not in given:  # transformers' stable decay starts there as well
        assert mine[:warmup] == pytest.approx(rates[1 : warmup + 1], abs=1e-6)
