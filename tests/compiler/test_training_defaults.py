"""What `train` leaves open follows from the model, the head and the rows, with a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.training_defaults import weights_of
from ftc.spec.documents.settings import TrainSettings
from tests.support.drafts import decided, draft_of, model_facts, split_report

CLASSES = {"kind": "classification"}


def train_of(rows: int = 160, **recipe: Any) -> TrainSettings:
    class_rows = recipe.pop("class_rows", {})
    draft = draft_of(**recipe)
    splits = {**draft.splits, "train": split_report(rows)}
    return decided(replace(draft, splits=splits, class_rows=class_rows)).settings().train


@pytest.mark.parametrize(
    ("hidden", "strategy", "rate"),
    [
        (384, "lora", 6.5e-4),
        (576, "lora", 5.3e-4),
        (2048, "lora", 2.8e-4),
        (4096, "lora", 2e-4),
        (8192, "lora", 1.4e-4),
        (384, "full", 1.1e-4),
        (768, "full", 5.3e-5),
        (4096, "full", 1e-5),
        (384, "ia3", 3e-3),
    ],
)
def test_the_rate_goes_by_the_width(hidden: int, strategy: str, rate: float) -> None:
    train = train_of(facts=model_facts(hidden=hidden), task={"kind": "chat"}, strategy={"kind": strategy})
    assert train.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("hidden", "strategy", "rate"),
    [
        (384, "lora", 1.5e-3),
        (768, "lora", 8.3e-4),
        (4096, "lora", 2e-4),
        (384, "full", 1.1e-4),
        (384, "loha", 6.5e-4),
    ],
)
def test_low_rank_adapters_beside_a_new_head_learn_faster_on_narrow_models(
    hidden: int, strategy: str, rate: float
) -> None:
    train = train_of(facts=model_facts(hidden=hidden), task=CLASSES, strategy={"kind": strategy})
    assert train.learning_rate == pytest.approx(rate)
    assert train.head_learning_rate is not None


@pytest.mark.parametrize(
    ("task", "rows", "steps"),
    [
        (CLASSES, 80, 150),
        (CLASSES, 160, 300),
        (CLASSES, 576, 324),
        (CLASSES, 16_000, 3000),
        ({"kind": "chat"}, 80, 30),
        ({"kind": "chat"}, 160, 60),
        ({"kind": "chat"}, 16_000, 3000),
        ({"kind": "preference"}, 160, 30),
        ({"kind": "pretraining"}, 160, 30),
    ],
)
def test_few_rows_are_passed_over_more_often(task: dict[str, Any], rows: int, steps: int) -> None:
    assert train_of(rows, task=task).num_steps == steps


def test_epochs_of_the_recipe_stand() -> None:
    assert train_of(160, task=CLASSES, train={"epochs": 2}).num_steps == 20
    assert train_of(160, task=CLASSES, train={"max_steps": 7}).num_steps == 7


def test_a_new_head_has_a_rate_unless_the_recipe_sets_one_for_all() -> None:
    usual = train_of(task=CLASSES)
    assert usual.head_learning_rate == 5e-3
    assert train_of(task=CLASSES, strategy={"kind": "full"}).head_learning_rate == 1e-3
    assert usual.head_modules
    told = train_of(task=CLASSES, train={"learning_rate": 5e-4})
    assert (told.head_learning_rate, told.head_modules) == (None, ())
    both = train_of(task=CLASSES, train={"learning_rate": 5e-4, "head_learning_rate": 5e-3})
    assert both.head_learning_rate == 5e-3
    assert both.head_modules == usual.head_modules
    assert train_of(task={"kind": "chat"}).head_learning_rate is None


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    numpy = pytest.importorskip("numpy")
    compute_class_weight = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    rows = {"a": 70, "b": 20, "c": 10}
    labels = [name for name, count in rows.items() for _ in range(count)]
    theirs = compute_class_weight("balanced", classes=numpy.array(["a", "b", "c"]), y=labels)
    assert weights_of(rows, ("a", "b", "c"), power=1.0) == pytest.approx(theirs.tolist(), rel=1e-5)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_weights_have_a_mean_of_one_over_the_rows(power: float) -> None:
    rows = {"a": 70, "b": 20, "c": 10, "d": 0}
    weights = dict(zip("abcd", weights_of(rows, tuple("abcd"), power=power), strict=True))
    mean = sum(weights[name] * count for name, count in Counter(rows).items()) / 100
    assert mean == pytest.approx(1, rel=1e-5)
    assert weights["d"] == 1.0
    assert weights["c"] > weights["b"] > weights["a"]


def test_rare_classes_weigh_more_by_default() -> None:
    labels = draft_of(task=CLASSES).labels
    even = dict.fromkeys(labels, 50)
    assert train_of(task=CLASSES, class_rows=even).class_weights == ()
    rare = {**even, labels[0]: 5}
    found = train_of(task=CLASSES, class_rows=rare).class_weights
    assert found == weights_of(rare, labels, power=0.5)
    assert train_of(task=CLASSES, class_rows=rare, train={"class_weights": "none"}).class_weights == ()
    balanced = train_of(task=CLASSES, class_rows=rare, train={"class_weights": "balanced"}).class_weights
    assert balanced == weights_of(rare, labels, power=1.0)
    one = train_of(task=CLASSES, train={"class_weights": {labels[0]: 3.0}}).class_weights
    assert one == (3.0, *(1.0 for _ in labels[1:]))


def test_a_weight_of_a_class_that_is_not_there() -> None:
    draft = decided(draft_of(task=CLASSES, train={"class_weights": {"nobody": 2.0}}))
    (finding,) = [one for one in draft.diagnostics if one.code == "FTC285"]
    assert "`nobody`" in finding.summary


def test_the_best_checkpoint_of_a_new_head_goes_by_its_metric() -> None:
    usual = train_of(task=CLASSES)
    assert (usual.select_metric, usual.select_higher) == ("val_macro_f1", True)
    assert train_of(task={"kind": "chat"}).select_metric == "val_loss"
    assert train_of(task=CLASSES, train={"epochs": 3}).select_metric == "val_loss", "as plans of before have it"
    stopping = {"early_stopping": {"metric": "val_macro_f1"}}
    assert train_of(task=CLASSES, train=stopping).select_metric == "val_macro_f1"
    written = train_of(task={"kind": "classification", "mode": "generative"})
    assert written.select_metric == "val_loss", "validation writes no answers"
