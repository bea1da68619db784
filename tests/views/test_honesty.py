"""What stands beside figures that are less than they seem, and what curves say of overfitting."""

from __future__ import annotations

import pytest

from ftc.spec.documents.events import Evaluated, StepDone
from ftc.spec.documents.findings import RunFinding
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import Contamination
from ftc.spec.documents.record import SubjectResult
from ftc.spec.documents.settings import Settings
from ftc.views.report.training import history, overfitting_words
from ftc.views.results import reservations
from ftc.views.run import run_text
from tests.support import documents

_CHANCE = "The base model's head is randomly initialized: its score is chance, and a gain over it shows little."


def _with_own_head(plan: Plan) -> Settings:
    model = plan.settings.model.model_copy(update={"head": "lm"})
    return plan.settings.model_copy(update={"model": model})


def test_reservations() -> None:
    plan, evaluation = documents.plan(), documents.evaluation()
    assert list(reservations(plan, evaluation)) == [_CHANCE]
    plan = plan.model_copy(update={"settings": _with_own_head(plan)})
    assert list(reservations(plan, evaluation)) == []
    few = evaluation.model_copy(update={"tuned": SubjectResult(metrics={"loss": 1.0}, rows=40, seconds=1.0)})
    seen = Contamination(split="test", run=10, of=40, rows=9, mostly=3, share=0.1)
    quality = plan.quality.model_copy(update={"chosen_by": 1, "trained_on": 2, "contamination": (seen,)})
    doubtful = plan.model_copy(update={"quality": quality})
    assert list(reservations(doubtful, few)) == [
        "Only 40 test rows (100 or more advised). Rely on the intervals.",
        "1 of 40 test rows are also validation rows, which chose the checkpoint: the test set is not held out.",
        "2 of 40 test rows are also training rows: the model has seen the answers.",
        "3 of 40 test rows share at least 80 % of their 10-grams with training rows; the score is probably too high.",
    ]
    unknown = plan.model_copy(update={"quality": plan.quality.model_copy(update={"trained_on": None})})
    assert list(reservations(unknown, evaluation)) == [
        "It is unknown whether the model was trained on these rows: the training rows are no longer in the cache."
    ]
    counts = {"train": dict.fromkeys("abcdefg", 9), "test": {"a": 4}}
    lacking = plan.model_copy(update={"quality": plan.quality.model_copy(update={"labels": counts})})
    (absent,) = reservations(lacking, evaluation)
    assert absent.startswith("No test row has `b`, `c`, `d`, `e`, `f` and 1 more: these classes are not measured")
    text = run_text(doubtful, documents.record(plan), few, "runs/x", curves="No overfitting shows.")
    assert "which chose the checkpoint" in text
    assert "curves     No overfitting shows." in text


def _curves(train: list[float], validation: list[float], findings: tuple[RunFinding, ...] = ()) -> str:
    events: list[StepDone | Evaluated] = [
        StepDone(
            step=step,
            epoch=0.0,
            loss=loss,
            learning_rate=1e-3,
            grad_norm=1.0,
            tokens=10,
            supervised=1,
            seconds=0.1,
        )
        for step, loss in enumerate(train, 1)
    ]
    every = len(train) // len(validation)
    for number, loss in enumerate(validation, 1):
        events.append(Evaluated(step=number * every, metrics={"val_loss": loss}, seconds=0.1, best=False))
    record = documents.record(documents.plan()).model_copy(update={"findings": findings})
    return overfitting_words(history(events), record)


@pytest.mark.parametrize(
    ("validation", "begin"),
    [
        ([1.0, 0.5, 0.6, 0.9], "Overfitting from step 20 on: validation loss rose from 0.500 to 0.900"),
        ([1.0, 0.8, 0.6, 0.605], "No overfitting: validation loss ends within 2 % of its lowest, at step 30"),
        ([1.0, 0.5], ""),
    ],
)
def test_curves(validation: list[float], begin: str) -> None:
    words = _curves([2 - step / 25 for step in range(40)], validation)
    assert words.startswith(begin)
    assert bool(words) == bool(begin)


def test_losses_that_rise_together_are_no_overfitting() -> None:
    words = _curves([abs(step - 20) / 10 + 1 for step in range(40)], [1.0, 0.5, 0.6, 0.9])
    assert words.endswith("and training loss with it.")


def test_an_end_that_came_too_early_is_no_lack_of_overfitting() -> None:
    curves = [2 - step / 25 for step in range(40)], [1.2, 1.1, 1.0, 0.8]
    early = RunFinding(code="FTC247", severity="warning", text="Validation loss was still falling.")
    assert _curves(*curves).startswith("No overfitting:")
    assert _curves(*curves, (early,)) == ""
