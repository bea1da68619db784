"""The learning rate is a function of the step; only matrices decay; the optimiser's memory survives a round trip."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ftc.runtime.optimizer import learning_rate_at, load_state, make_optimizer, state_tensors
from ftc.spec.settings import ScheduleSettings, TrainSettings
from tests.support.documents import plan


def _train(kind: str = "linear", warmup_steps: int = 4, num_steps: int = 12, **changes: Any) -> TrainSettings:
    schedule = ScheduleSettings.model_validate({"kind": kind, "warmup_steps": warmup_steps})
    values = {"schedule": schedule, "num_steps": num_steps, "learning_rate": 1.0, "fused": False, **changes}
    return plan().settings.train.model_copy(update=values)


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate_at(step, _train()) for step in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([1 - step / 8 for step in range(8)])
    cosine = [learning_rate_at(step, _train("cosine")) for step in range(12)]
    assert cosine[4] == 1.0
    assert cosine[8] == pytest.approx(0.5)
    assert [learning_rate_at(step, _train("constant", 0)) for step in (0, 11)] == [1.0, 1.0]
    assert learning_rate_at(0, _train("linear", 1, 1)) == 1.0


def test_only_matrices_decay() -> None:
    parameters = {"w": torch.nn.Parameter(torch.ones(2, 2)), "b": torch.nn.Parameter(torch.ones(2))}
    rule = _train().optimizer.model_copy(update={"weight_decay": 0.1})
    groups = make_optimizer(parameters, _train(optimizer=rule)).param_groups
    assert [(group["weight_decay"], group["params"][0].ndim) for group in groups] == [(0.1, 2), (0.0, 1)]


@pytest.mark.parametrize("fused", [False, True])
def test_memory_round_trip(fused: bool) -> None:
    def steps(optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter], count: int) -> None:
        for number in range(count):
            for parameter in parameters.values():
                parameter.grad = torch.full_like(parameter, 0.1 * (number + 1))
            optimizer.step()

    def fresh() -> dict[str, torch.nn.Parameter]:
        return {"w": torch.nn.Parameter(torch.ones(2, 2)), "b": torch.nn.Parameter(torch.ones(2))}

    whole = fresh()
    optimizer = make_optimizer(whole, _train(fused=fused))
    steps(optimizer, whole, 3)
    saved = {name: tensor.clone() for name, tensor in state_tensors(optimizer, whole).items()}
    resumed = {name: torch.nn.Parameter(parameter.detach().clone()) for name, parameter in whole.items()}
    again = make_optimizer(resumed, _train(fused=fused))
    load_state(again, resumed, saved)
    steps(optimizer, whole, 2)
    steps(again, resumed, 2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
