"""What curves of a finished training say: still falling, rose, never moved, clipped; and curves that say nothing."""

from __future__ import annotations

import pytest

from ftc.runtime.training.findings import training_findings
from ftc.spec.documents.events import Evaluated, StepDone
from tests.support import documents

TRAIN = documents.plan().settings.train.model_copy(update={"num_steps": 30, "steps_per_epoch": 10})


def _steps(losses: list[float], norm: float = 0.5) -> list[StepDone]:
    return [
        StepDone(
            step=number, epoch=1.0, loss=loss, learning_rate=1e-4, grad_norm=norm, tokens=9, supervised=9, seconds=0.1
        )
        for number, loss in enumerate(losses, start=1)
    ]


def _evaluations(losses: list[float]) -> list[Evaluated]:
    return [
        Evaluated(step=10 * number, metrics={"val_loss": loss}, best=True, seconds=0.1)
        for number, loss in enumerate(losses, start=1)
    ]


FALLING = [1.0 - step / 40 for step in range(30)]


@pytest.mark.parametrize(
    ("validation", "losses", "norm", "codes"),
    [
        ([1.264, 1.109, 0.992], FALLING, 0.5, ["FTC247"]),
        ([1.264, 1.109, 1.100], FALLING, 0.5, []),
        ([0.004, 0.002, 0.001], FALLING, 0.5, []),  # near zero nothing is left to gain
        ([1.264, 1.0, 1.2], FALLING, 0.5, []),
        ([0.9], FALLING, 0.5, []),
        ([], FALLING, 0.5, []),
        ([1.0, 1.0, 1.0], [1.1] * 30, 0.5, ["FTC248"]),
        ([1.0, 1.0, 1.0], [1.1 - step / 40 for step in range(15)] + [3.0] * 15, 0.5, ["FTC248"]),
        ([1.0, 1.0, 1.0], [2.4 - step / 10 for step in range(10)] + [2.1] * 20, 0.5, ["FTC248"]),  # collapsed early
        ([1.0, 1.0, 1.0], [1.2, 0.9, 0.5, *[0.0001] * 12, *[0.0005] * 15], 0.5, []),  # twice nearly nothing
        ([1.0, 1.0, 1.0], FALLING, 7.0, ["FTC249"]),
        ([1.0, 1.0, 1.0], [1.1] * 5, 7.0, []),
    ],
)
def test_what_curves_say(validation: list[float], losses: list[float], norm: float, codes: list[str]) -> None:
    found = training_findings(TRAIN, _steps(losses, norm), _evaluations(validation), stopped_early=False)
    assert [one.code for one in found] == codes


@pytest.mark.parametrize(("skipped", "codes"), [(1, []), (2, ["FTC130"])])
def test_gradients_that_overflow_often_are_named(skipped: int, codes: list[str]) -> None:
    steps = _steps(FALLING)
    steps[:skipped] = [one.model_copy(update={"grad_norm": None, "loss_scale": 65536.0}) for one in steps[:skipped]]
    found = list(training_findings(TRAIN, steps, [], stopped_early=False))
    assert [one.code for one in found] == codes
    assert all("2 of 30 steps" in one.text for one in found)


def test_a_finding_names_the_change_of_the_recipe() -> None:
    (longer,) = training_findings(TRAIN, _steps(FALLING), _evaluations([1.3, 1.1, 0.9]), stopped_early=False)
    assert longer.change == "train.epochs=6"
    assert "`--set train.epochs=6`" in longer.help
    (faster,) = training_findings(TRAIN, _steps([1.1] * 30), [], stopped_early=False)
    assert faster.change == f"train.learning_rate={3 * TRAIN.learning_rate:.0e}".replace("e-0", "e-")
    assert "too low" in faster.text
    (slower,) = training_findings(TRAIN, _steps([*FALLING[:20], *[4.0] * 10]), [], stopped_early=False)
    assert "too high" in slower.text


def test_a_metric_that_still_rises_is_named() -> None:
    by_f1 = TRAIN.model_copy(update={"select_metric": "val_macro_f1", "select_higher": True})

    def said(*values: float) -> list[str]:
        evaluations = [
            Evaluated(step=10 * number, metrics={"val_loss": 1.0, "val_macro_f1": value}, best=True, seconds=0.1)
            for number, value in enumerate(values, start=1)
        ]
        return [one.text for one in training_findings(by_f1, _steps(FALLING), evaluations, stopped_early=False)]

    assert said(0.2, 0.35, 0.41) == ["Validation macro F1 was still rising at the last step: 0.200, 0.350, 0.410."]
    assert said(0.2, 0.41, 0.41) == []
    assert said(0.2, 0.41, 0.42) == []


def test_a_run_that_stopped_early_was_long_enough() -> None:
    assert not [*training_findings(TRAIN, _steps(FALLING), _evaluations([1.3, 1.1, 0.9]), stopped_early=True)]


def test_no_bound_no_clipping() -> None:
    free = TRAIN.model_copy(update={"max_grad_norm": None})
    assert not [*training_findings(free, _steps(FALLING, 7.0), [], stopped_early=False)]
