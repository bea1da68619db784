"""Losses of single rows against the rest of their row: what follows, what contradicts, and what nothing says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ftc.compiler.audit.row_losses import check_row_losses
from ftc.compiler.audit.tally import ROWS, Tally
from ftc.spec.documents.loss_settings import RegressionSettings
from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.plan import Plan
from ftc.spec.number_losses import NUMBER_LOSSES
from tests.support import documents


def plan_of(head: str, labels: tuple[str, ...] = (), **train: Any) -> Plan:
    plain = documents.plan().settings.model_dump(mode="python")
    settings = plain | {
        "model": plain["model"] | {"head": head},
        "text": plain["text"] | {"form": "classify", "labels": labels},
        "train": plain["train"] | train,
    }
    return documents.plan(settings=settings)


def row(loss: float, text: str | None = None, **fields: Any) -> Outcome:
    said = {name: fields.pop(name) for name in ("confidence", "predicted") if name in fields}
    tuned = Said(text=text, loss_sum=loss, targets=1, **said)
    return Outcome(row=0, prompt="", expected=fields.pop("expected", None), base=None, tuned=tuned, **fields)


def faults(plan: Plan, one: Outcome) -> list[str]:
    tally = Tally()
    check_row_losses(tally, plan, [one])
    assert tally.not_checked == [ROWS], "what is left is always said"
    return [found.subject for found in tally.findings]


LOSS = ["predictions.ndjson, line 1: loss_sum of tuned"]


@pytest.mark.parametrize(
    ("labels", "text", "confidence", "loss", "found"),
    [
        (3, "a", 0.5, math.log(2), []),
        (3, "a", 0.5, 0.5, LOSS),
        (3, "a", 1.0, 0.0, []),
        (3, "a", 1.0, 30.0, LOSS),
        (3, "b", 0.6, 0.2, LOSS),
        (3, "b", 0.6, -math.log(0.4), []),
        (3, "b", 0.6, 9.0, []),  # a third class may have nearly all of the rest
        (2, "b", 0.6, 9.0, LOSS),
        (2, "b", 0.6, -math.log(0.4), []),
    ],
)
def test_a_class(labels: int, text: str, confidence: float, loss: float, found: list[str]) -> None:
    plan = plan_of("classification", tuple("abc"[:labels]))
    assert faults(plan, row(loss, text, expected="a", confidence=confidence)) == found


@pytest.mark.parametrize(
    ("predicted", "loss", "found"),
    [((0.0,), 0.6, []), ((0.0,), 0.9, LOSS), ((0.0, 1.0), 0.1, LOSS), ((0.0, 1.0), 5.0, []), ((), 0.3, [])],
)
def test_several_classes(predicted: tuple[float, ...], loss: float, found: list[str]) -> None:
    """Each class that is decided rightly costs log 2 at most, each other one at least; row loss is their mean."""
    plan = plan_of("multi_label", ("a", "b"))
    right = (0,) if predicted else ()
    assert faults(plan, row(loss, targets=right, predicted=predicted)) == found


@pytest.mark.parametrize("kind", [card.kind for card in NUMBER_LOSSES if card.takes == "numbers"])
@pytest.mark.parametrize("error", [0.5, 3.0])
def test_numbers(kind: str, error: float) -> None:
    scale = {"mean": 10.0, "spread": 4.0}
    plan = plan_of(
        "regression", ("score",), regression=RegressionSettings.model_validate({"loss": kind, "scales": (scale,)})
    )
    torch = pytest.importorskip("torch")
    from ftc.runtime.tasks.regression import LOSSES

    loss = float(LOSSES[kind](torch.tensor([error]), torch.tensor([0.0]))[0])
    predicted = (12.0 + 4 * error,)
    assert faults(plan, row(loss, right=("12.0",), predicted=predicted)) == []
    assert faults(plan, row(loss + 0.1, right=("12.0",), predicted=predicted)) == LOSS


@pytest.mark.parametrize(("score", "rating"), [(0.3, 1.0), (-4.0, 1.0), (2.5, 0.0)])
def test_ratings(score: float, rating: float) -> None:
    learned = {"loss": "binary_cross_entropy", "scales": ({"mean": 0.0, "spread": 1.0},)}
    plan = plan_of("regression", ("reward",), regression=RegressionSettings.model_validate(learned))
    loss = math.log1p(math.exp(-score if rating else score))
    assert faults(plan, row(loss, right=(str(rating),), predicted=(score,))) == []
    assert faults(plan, row(loss + 0.01, right=(str(rating),), predicted=(score,))) == LOSS


def test_an_answer_that_is_written_says_nothing_of_its_loss() -> None:
    assert faults(documents.plan(), row(0.1, "an answer", expected="another")) == []


@pytest.mark.parametrize(("right", "predicted"), [(("12",), ()), (("twelve",), (1.0,)), (("12",), (1.0, 2.0))])
def test_a_row_of_no_use_is_left_to_the_scores(right: tuple[str, ...], predicted: tuple[float, ...]) -> None:
    scale = {"mean": 10.0, "spread": 4.0}
    learned = RegressionSettings.model_validate({"loss": "mse", "scales": (scale,)})
    assert (
        faults(plan_of("regression", ("score",), regression=learned), row(0.1, right=right, predicted=predicted)) == []
    )
