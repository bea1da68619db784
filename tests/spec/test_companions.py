"""Every model beside the trained one: what its card says is where recipe, settings, lock and messages have it."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.lock.renew import _without_pins
from ftc.spec.codes import CODES
from ftc.spec.companions import COMPANIONS, Companion, value_at
from ftc.spec.documents.settings import Settings
from ftc.spec.sections.recipe import Recipe
from tests.support import documents

cards = pytest.mark.parametrize("card", COMPANIONS, ids=lambda card: card.role)


def _models(annotation: Any) -> list[Any]:
    """The documents that a field may hold."""
    parts = getattr(annotation, "__args__", None)
    return [model for part in parts for model in _models(part)] if parts else [annotation]


def field_at(model: Any, path: str) -> Any:
    """The type of a field by its dotted path, through sections that may be absent."""
    for key in path.split("."):
        (holder,) = [one for one in _models(model) if key in getattr(one, "model_fields", {})]
        model = holder.model_fields[key].annotation
    return model


@cards
def test_paths_lead_somewhere(card: Companion) -> None:
    assert str in _models(field_at(Recipe, f"{card.section}.{card.key}"))
    assert _models(field_at(Recipe, f"{card.section}.revision")) == [str, type(None)]
    assert field_at(Settings, f"{card.pins}.files")
    assert field_at(Settings, f"{card.pins}.commit")
    recipe = documents.plan().recipe
    assert card.base(recipe).startswith(card.section)
    assert card.base(recipe).endswith(f".{card.key}")
    assert card.revision(recipe).startswith(card.section)
    assert set(card.helps) <= set(CODES)


@cards
def test_a_plan_without_it_has_none(card: Companion) -> None:
    plan = documents.plan()
    assert card.asked(plan.recipe) is None
    assert card.pinned(plan.settings) is None
    assert card.license(plan.settings) is None


@cards
def test_an_upgrade_of_its_name_forgets_its_commit(card: Companion) -> None:
    lock = documents.plan().lock
    kept: dict[str, Any] = {"commit": "c" * 40}
    for key in reversed(card.pins.split(".")):
        kept = {key: kept}
    pinned = lock.model_copy(update={"train": lock.train.model_copy(update={"settings": kept})})
    assert value_at(pinned.train.settings, card.pins) == {"commit": "c" * 40}
    assert value_at(_without_pins(pinned, (card.role,)).train.settings, card.pins) == {}


def test_roles_are_told_apart() -> None:
    assert len({card.role for card in COMPANIONS}) == len({card.section for card in COMPANIONS}) == len(COMPANIONS)
