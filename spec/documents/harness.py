"""What the lm-evaluation-harness says of a run's model and of its base."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.record import Gain

__all__ = ["HarnessMetric", "HarnessReport"]


class HarnessMetric(Document):
    """One metric of one task, by the harness's own names and figures."""

    task: str
    metric: str
    filter: str
    """What the harness does to answers before it measures; `none` for nothing."""
    rows: int
    higher_is_better: bool | None
    """None where the task doesn't say."""
    base: Real
    base_error: Real | None
    """The harness's standard error; None where it gives none."""
    tuned: Real
    tuned_error: Real | None
    gain: Gain
    """Its interval is paired, over the task's rows; none where the metric is no mean of its rows."""


class HarnessReport(Document):
    """The answer of `ftc eval RUN --harness TASKS`; nothing of it is written into the run's folder."""

    schema_: Literal["ftc.harness/1"] = Field(default="ftc.harness/1", alias="schema")
    run: str
    lm_eval: str
    """Version of the library."""
    versions: dict[str, str]
    """Of each task, as it says itself."""
    limit: int | None
    """Rows of a task at most; None for all."""
    metrics: tuple[HarnessMetric, ...]
