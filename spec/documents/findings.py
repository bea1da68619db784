"""What a run says about its own result: findings beside the figures, and models that cost nothing to compare with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.intervals import Gain
from ftc.spec.sections.evaluation import SimpleBaseline

__all__ = ["BaselineResult", "RunFinding"]


class RunFinding(Document):
    """Something about training or its result that a reader of the figures should know."""

    code: str
    """Code of the finding, which `ftc explain` describes."""
    severity: Literal["warning", "note"]
    text: str
    """What was found, with its numbers."""
    help: str = ""
    """What to do about it; empty where nothing follows."""
    change: str = ""
    """The change of the recipe, as `--set` takes it, such as `train.epochs=8`; empty where the help names none."""


class BaselineResult(Document):
    """A simple baseline on the test rows, fitted on training rows alone."""

    kind: SimpleBaseline
    method: str
    """What it is, in words."""
    rows: int
    """Training rows that it was fitted on."""
    metrics: dict[str, Real]
    """Those of the tuned model's metrics that need no probabilities."""
    gains: dict[str, Gain] = Field(default_factory=dict)
    """The tuned model's value less the baseline's, by metric."""
    seconds: Real
