"""Earlier runs of a project, as far as their speed goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ftc.spec.documents.estimates import Phase, Work
from ftc.spec.documents.judging import JudgeUse

__all__ = ["PastRun"]


@dataclass(frozen=True, slots=True)
class PastRun:
    """What an earlier run tells about speed.

    Attributes:
        device: Name of its device, as plans have it.
        threads: Its CPU threads.
        model: The base model's name.
        strategy: Kind of strategy.
        precision: Of its arithmetic.
        work: What its plan expected of the device, by phase.
        seconds: What each phase took.
        judge_model: What the service of its judge calls the model; empty without one.
        judge: What its judge took; None where nobody was asked, or that wasn't measured.
    """

    device: str
    threads: int
    model: str
    strategy: str
    precision: str
    work: Mapping[Phase, Work]
    seconds: Mapping[Phase, float]
    judge_model: str = ""
    judge: JudgeUse | None = None
