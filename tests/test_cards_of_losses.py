"""Every loss and every reward has all that its users meet: a plan, its word in the docs, and its names elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.rules.recipe_rules import check_rules
from ftc.spec.divergences import DIVERGENCES, DivergenceCard
from ftc.spec.embedding_losses import EMBEDDING_LOSSES
from ftc.spec.number_losses import NUMBER_LOSSES
from ftc.spec.preference_losses import PREFERENCE_LOSSES
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES
from ftc.spec.reranking_losses import RERANKING_LOSSES
from ftc.spec.reward_losses import REWARD_LOSSES
from ftc.spec.rewards import REWARDS, RewardCard
from tests.support.drafts import draft_of, shaped
from tests.support.recipes import problems_of, recipe_text

RECIPE_PAGE = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8")
REWARD = {"kind": "exact_match"}
TASKS: dict[str, dict[str, Any]] = {
    **{card.kind: {"kind": "embedding", "loss": card.kind} for card in EMBEDDING_LOSSES},
    **{card.kind: {"kind": "reward", "loss": card.kind} for card in REWARD_LOSSES},
    **{card.kind: {"kind": "regression", "loss": card.kind} for card in NUMBER_LOSSES if card.takes == "numbers"},
    **{card.kind: {"kind": "preference", "loss": card.kind} for card in PREFERENCE_LOSSES},
    **{card.kind: {"kind": "reinforcement", "loss": card.kind, "rewards": [REWARD]} for card in REINFORCEMENT_LOSSES},
    **{card.kind: {"kind": "reranking", "loss": card.kind} for card in RERANKING_LOSSES},
}
"""The task of each loss."""
WANTED = {
    "base": "./scorer",
    "pattern": "[a-z]+",
    "json_schema": '{"type": "object"}',
    "max_characters": 9,
    "name": "courtesy-metrics:brevity",
    "judge": {"url": "http://localhost:8000/v1", "model": "m"},
}
"""A value for each key that a reward can't do without."""
ELSEWHERE = [
    (name, card.kind)
    for cards in (EMBEDDING_LOSSES, PREFERENCE_LOSSES, REINFORCEMENT_LOSSES, RERANKING_LOSSES)
    for card in cards
    for name in card.foreign
    if name not in TASKS
]


def task_faults(task: dict[str, Any]) -> list[str]:
    """What a recipe's rules have against it."""
    asked = draft_of(task=task)
    assert shaped(asked).shape is not None
    return [found.summary for found in check_rules(asked.recipe, asked.source) if found.is_error]


@pytest.mark.parametrize("loss", TASKS)
def test_a_loss_is_planned_and_documented(loss: str) -> None:
    assert task_faults(TASKS[loss]) == []
    assert f"`{loss}`" in RECIPE_PAGE


@pytest.mark.parametrize(("name", "loss"), ELSEWHERE)
def test_the_name_of_a_loss_elsewhere_leads_to_it(name: str, loss: str) -> None:
    (found,) = problems_of(recipe_text(task={**TASKS[loss], "loss": name}))
    assert (found.code, found.label) == ("FTC105", f"ftc calls it `{loss}`")
    assert [edit.text for fix in found.fixes for edit in fix.edits] == [loss]


@pytest.mark.parametrize("card", REWARDS, ids=lambda card: card.kind)
def test_a_reward_is_planned_and_documented(card: RewardCard) -> None:
    reward = {"kind": card.kind, **{key: WANTED[key] for key in card.required}}
    assert task_faults({"kind": "reinforcement", "rewards": [reward]}) == []
    assert f"`{card.kind}`" in RECIPE_PAGE


@pytest.mark.parametrize("card", DIVERGENCES, ids=lambda card: card.kind)
def test_a_divergence_is_planned_and_documented(card: DivergenceCard) -> None:
    lesson = {"teacher": "models/large", "loss": card.kind}
    asked = draft_of(task={"kind": "generation"}, train={"distillation": lesson})
    assert [found.summary for found in check_rules(asked.recipe, asked.source) if found.is_error] == []
    assert f"`{card.kind}`" in RECIPE_PAGE
    others = {key for one in DIVERGENCES for key in one.reads} - {*card.reads}
    for key in others:
        idle = draft_of(task={"kind": "generation"}, train={"distillation": {**lesson, key: 0.5}})
        assert [found.code for found in check_rules(idle.recipe, idle.source)] == ["FTC230"]
    for name in card.foreign:
        (found,) = problems_of(recipe_text(train={"distillation": {**lesson, "loss": name}}))
        assert (found.code, found.label) == ("FTC105", f"ftc calls it `{card.kind}`")
