"""Runs side by side on the test rows that they have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.record import Gain, Interval

__all__ = ["ComparedMetric", "ComparedRun", "RunComparison", "Standing"]


class ComparedRun(Document):
    """One of the runs."""

    id: str
    name: str
    model: str
    """The base model's name."""
    strategy: str
    rows: int
    """Test rows of the run; those beyond the common ones don't count here."""


class Standing(Document):
    """One run in one metric, on the common rows."""

    value: Real
    interval: Interval | None
    """None where the rows can't tell."""
    gain: Gain | None
    """Against the first run; None for the first itself."""


class ComparedMetric(Document):
    """One metric of all runs."""

    metric: str
    standings: tuple[Standing, ...]
    """In the order of the runs."""


class RunComparison(Document):
    """What `ftc compare` finds; the first run is what the others are held against."""

    schema_: Literal["ftc.comparison/1"] = Field(default="ftc.comparison/1", alias="schema")
    runs: tuple[ComparedRun, ...]
    rows: int
    """Test rows that all runs were given."""
    metrics: tuple[ComparedMetric, ...]
    not_compared: tuple[str, ...]
    """Metrics that can't be compared, each with the reason."""
