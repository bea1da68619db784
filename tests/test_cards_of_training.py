"""Every optimizer and every schedule has all that its users meet: plan, state, step, words, docs, names elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.rules.recipe_rules import check_rules
from ftc.spec.devices import CARDS
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.precisions import trained_type, with_trained
from ftc.spec.schedules import SCHEDULES, ScheduleCard, learning_rate_at
from ftc.views.plan import optimizer_words
from tests.compiler.importers.examples import AXOLOTL, FACTORY, TUNE, import_text, recipe_values
from tests.support.documents import plan
from tests.support.drafts import CARD, decided, draft_of

TUNE_ROWS = f"{TUNE}dataset: {{_component_: torchtune.datasets.alpaca_dataset}}\n"
DOCS = Path(__file__).parents[1] / "docs"


def settled(device: Any = CARD, **train: Any) -> TrainSettings:
    """What a plan trains by, for a recipe with this `train` section."""
    return planned(device, **train).settings().train


def planned(device: Any = CARD, **train: Any) -> ClosedDraft:
    """The draft of a plan for a recipe with this `train` section."""
    is_narrow = trained_type(train.get("precision", "auto")).size < 4
    asked = draft_of(
        strategy={"kind": "full" if is_narrow else "lora"},
        device=device.model_copy(
            update={"host_bytes": 64 * 2**30, "capability": (8, 9), "speed": CARDS["rtx-4090"].speed}
        ),
        train=train,
    )
    assert [found.summary for found in check_rules(asked.recipe, asked.source) if found.is_error] == []
    draft = decided(asked)
    assert [found.summary for found in draft.diagnostics if found.is_error] == []
    return draft


def _for_weights(card: OptimizerCard) -> dict[str, Any]:
    """The precision whose weights an optimizer trains, where a recipe has to ask for it."""
    precision = with_trained(card.weights, "auto")
    return {} if precision.auto is not None else {"precision": precision.kind}


@pytest.mark.parametrize("card", OPTIMIZERS, ids=lambda card: card.kind)
def test_an_optimizer_has_a_plan_words_and_docs(card: OptimizerCard) -> None:
    schedule = {"schedule": {"kind": card.schedules[0]}} if card.schedules else {}
    draft = planned(optimizer={"kind": card.kind}, **_for_weights(card), **schedule)
    assert draft.time is not None
    assert any(str(card.uncounted) in missing for missing in draft.not_checked) is (card.uncounted is not None)
    train = draft.settings().train
    assert train.optimizer.kind == card.kind
    for usual in card.usual:
        assert getattr(train.optimizer, usual.name) == usual.value
    assert optimizer_words(card.kind, fused=False) == card.label
    assert f"| `{card.kind}` | {card.label} | {card.source} |" in (DOCS / "optimizers.md").read_text()


@pytest.mark.parametrize("card", SCHEDULES, ids=lambda card: card.kind)
def test_a_schedule_has_a_plan_rates_and_docs(card: ScheduleCard) -> None:
    schedule = settled(schedule={"kind": card.kind, "warmup_ratio": 0.1}, max_steps=50, epochs=100).schedule
    update = {"schedule": schedule, "num_steps": 50, "learning_rate": 1.0}
    train = plan().settings.train.model_copy(update=update)
    rates = [learning_rate_at(step, train) for step in range(50)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert max(rates) == 1.0
    assert min(rates) >= 0.0
    assert f"| `{card.kind}` | {card.meaning} |" in (DOCS / "optimizers.md").read_text()


def imported(text: str) -> dict[str, Any]:
    """The recipe that a configuration becomes."""
    return recipe_values(import_text(text))


@pytest.mark.parametrize("card", OPTIMIZERS, ids=lambda card: card.kind)
def test_every_name_of_an_optimizer_is_imported(card: OptimizerCard) -> None:
    for word in card.names.trainer:
        assert imported(f"{FACTORY}optim: {word}\n")["train.optimizer.kind"] == card.kind
    for name in card.names.component:
        assert imported(f"{TUNE_ROWS}optimizer: {{_component_: {name}}}\n")["train.optimizer.kind"] == card.kind


@pytest.mark.parametrize("card", SCHEDULES, ids=lambda card: card.kind)
def test_every_name_of_a_schedule_is_imported(card: ScheduleCard) -> None:
    for word in card.names:
        found = imported(f"{FACTORY}val_size: 0.1\nlr_scheduler_type: {word}\n")
        assert found["train.schedule.kind"] == card.kind
    for name in card.components:
        found = imported(f"{TUNE_ROWS}lr_scheduler: {{_component_: torchtune.training.lr_schedulers.{name}}}\n")
        assert found["train.schedule.kind"] == card.kind


def test_further_arguments_of_a_schedule_are_imported() -> None:
    floor = imported(f"{FACTORY}lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {{min_lr_rate: 0.1}}\n")
    assert floor["train.schedule.min_lr_ratio"] == 0.1
    stable = "lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 30}\nmax_steps: 120\n"
    assert imported(f"{FACTORY}{stable}")["train.schedule.decay_ratio"] == 0.25
    assert imported(f"{AXOLOTL}cosine_min_lr_ratio: 0.2\n")["train.schedule.min_lr_ratio"] == 0.2


def test_a_warm_up_is_a_share_or_a_number_of_steps() -> None:
    steps = settled(schedule={"warmup_steps": 7}, max_steps=50, epochs=100)
    assert steps.schedule.warmup_steps == 7
    assert imported(f"{FACTORY}warmup_steps: 7\n")["train.schedule.warmup_steps"] == 7
    both = draft_of(train={"schedule": {"warmup_steps": 7, "warmup_ratio": 0.1}})
    assert [found.code for found in check_rules(both.recipe, both.source)] == ["FTC230"]
