"""Base models of the catalog, each planned for one recipe's task and rows on one device."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, MoneyText, Real

__all__ = ["BaseModelPlan", "BaseModelPlans"]


class BaseModelPlan(Document):
    """One model."""

    name: str
    parameters: int
    max_positions: int | None
    license: str
    languages: tuple[str, ...]
    """Some of those that its card or its makers' report names; empty where unknown."""
    gated: bool | None
    """Whether the hub asks for consent before a download; None where unknown."""
    released: str | None
    """Year, or year and month; None where unknown."""
    source: str
    """What its sizes were compared with."""
    fits: bool
    """Whether the plan for this model has no error: memory, time, cost and all else are within the recipe's limits."""
    problem: str = ""
    """The first error of its plan; empty where there is none."""
    memory_bytes: int | None
    """Expected peak on a device; None where the plan ends before memory is estimated."""
    low_seconds: Real | None = None
    """Shortest time of the whole run; None where nothing is known of the device's speed."""
    high_seconds: Real | None = None
    cost_low: MoneyText | None = None
    cost_high: MoneyText | None = None
    truncated: bool = False
    """Whether its context is shorter than the recipe's longest row, which would be cut further."""


class BaseModelPlans(Document):
    """All of them."""

    schema_: Literal["ftc.models/1"] = Field(default="ftc.models/1", alias="schema")
    recipe: str
    task: str
    device: str
    read_on: str
    """When the catalog's facts were last checked."""
    counted_with: str
    """Base model whose tokenizer counted the rows: the recipe's own."""
    models: tuple[BaseModelPlan, ...]
