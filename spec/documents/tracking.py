"""What a run and the process that reports it to a tracker say to each other, and what is left of it in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ftc.spec.base import Document

__all__ = ["RegistryAnswer", "RegistryJob", "Settle", "Tracked", "TrackerAnswer", "TrackerJob"]


class Tracked(Document):
    """How much of a run reached a tracker."""

    tracker: str
    """Name of its card."""
    points: int
    """Values by step that the run had: losses, rates, validation metrics and others."""
    sent: int
    """Those that the tracker took before the record was closed; the rest is dropped points."""
    problem: str = ""
    """Why it isn't all; empty where it is. Values of credentials are left out."""


Settle = Callable[[], tuple[Tracked, ...]]
"""Gives what trackers took of a run, after a short wait."""


class TrackerJob(Document):
    """What the process is to report."""

    tracker: str
    keys: dict[str, Any]
    """The tracker's section of the recipe."""
    folder: str
    """The run's folder."""
    root: str
    """The project's folder."""
    process: int | None = None
    """Process whose CPU and memory are sampled; None where the run is over."""


class TrackerAnswer(Document):
    """What the process says."""

    kind: Literal["sent", "settled", "done", "problem"]
    """`sent`: so much has arrived; `settled`: all that the run has said so far; `done`: everything, files included;
    `problem`: it gave up."""
    sent: int
    text: str = ""
    """The problem, or where the run can be found in the tracker."""


class RegistryJob(Document):
    """A model that is to be registered."""

    tracker: str
    keys: dict[str, Any]
    """The tracker's section of the recipe."""
    plan_name: str
    """Name of the run's recipe, which trackers group runs by where the section doesn't say another."""
    folder: str
    """The run's folder."""
    name: str
    """The model's name in the registry."""
    project: str
    """The run with its base model, and nothing else; it is copied into the registry."""
    code: str
    """File that the tracker's server loads the model with."""
    columns: tuple[str, ...]
    """Texts of a row, which the signature names."""
    answer: str
    """File that the answer is written to."""


class RegistryAnswer(Document):
    """What came of it."""

    version: str = ""
    """The model with its version, in words."""
    problem: str = ""
    """Why it isn't registered."""
